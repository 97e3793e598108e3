"""Write charts/*/values.schema.json: the shell by hand here, the policy from the model itself.

`make charts` runs it; a test holds the committed files to it. So what the chart accepts as a policy
is what the operator accepts, and a misspelt key is refused by `helm install` already.
"""

import json
import sys
from pathlib import Path
from typing import Any

from dpp_core.policy import Policy

CHARTS = Path(__file__).resolve().parents[2] / "charts"
TEXT = {"type": "string"}
FREE = {"type": "object"}
LIST = {"type": "array"}
FLAG = {"type": "boolean"}
TEXT_MAP = {"type": "object", "additionalProperties": TEXT}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
QUANTITIES = {"type": "object", "additionalProperties": {"type": ["string", "integer"]}}


def main() -> int:
    """Write the schema of each chart."""
    for name, schema in build_schemas().items():
        (CHARTS / name / "values.schema.json").write_text(render(schema))
    return 0


def build_schemas() -> dict[str, dict[str, Any]]:
    """Give each chart's schema by the chart's name."""
    return {"dpp-operator": _build_operator(), "dpp-tenant": _build_tenant()}


def render(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def _closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _root(**properties: Any) -> dict[str, Any]:
    schema = _closed(**properties, **{"global": FREE})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _build_operator() -> dict[str, Any]:
    policy = Policy.model_json_schema(by_alias=True)
    definitions = policy.pop("$defs")
    root = _root(
        image=_closed(
            repository={"type": "string", "minLength": 1},
            tag=TEXT,
            digest={"type": "string", "pattern": "^(sha256:[a-f0-9]{64})?$"},
            pullPolicy={"enum": ["Always", "IfNotPresent", "Never"]},
        ),
        imagePullSecrets=LIST,
        policy={"$ref": "#/$defs/Policy"},
        crds=_closed(install=FLAG),
        serviceAccount=_closed(name=TEXT, annotations=TEXT_MAP),
        log=_closed(
            level={"enum": ["DEBUG", "INFO", "WARNING", "ERROR"]},
            format={"enum": ["json", "text"]},
        ),
        metrics=_closed(port=PORT, serviceAnnotations=TEXT_MAP),
        resources=_closed(requests=QUANTITIES, limits=QUANTITIES),
        env=LIST,
        podAnnotations=TEXT_MAP,
        podLabels=TEXT_MAP,
        nodeSelector=TEXT_MAP,
        tolerations=LIST,
        affinity=FREE,
        priorityClassName=TEXT,
        terminationGracePeriodSeconds={"type": "integer", "minimum": 0},
    )
    return {
        **root,
        "required": ["image", "policy"],
        "$defs": {**definitions, "Policy": policy},
    }


def _build_tenant() -> dict[str, Any]:
    cidr = {"type": "string", "pattern": "^[0-9A-Fa-f.:]+/[0-9]{1,3}$"}
    egress = _closed(cidr=cidr, ports={"type": "array", "items": PORT})
    return _root(
        serviceAccount=_closed(annotations=TEXT_MAP, imagePullSecrets=LIST),
        networkPolicy=_closed(
            enabled=FLAG,
            dnsNamespace=TEXT,
            egress={"type": "array", "items": {**egress, "required": ["cidr"]}},
            metricsFromNamespaces={"type": "array", "items": TEXT},
        ),
        quota=_closed(enabled=FLAG, hard=QUANTITIES),
        defaults=_closed(enabled=FLAG, requests=QUANTITIES, limits=QUANTITIES),
    )


if __name__ == "__main__":
    sys.exit(main())

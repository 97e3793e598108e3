"""Stage 6: what was written becomes a version of the dataset's Delta table, or nothing of it is seen.

How `run` and `unit` use it, in this order. Every function says itself what it raises and what
happens when it is called twice. The module of each is in brackets.

    hooks = Hooks(at=..., pause=...)                        [hooks] NO_HOOKS outside tests
    probe(store, token=..., now=..., hooks=hooks)           [probe] once a store, before a first commit
    stream = Stream(namespace, extraction, dataset)         [keys] all keys, `table_prefix(stream)`
    claim(store, stream, Owner(...), hooks=hooks)           [claim] `check_claim` writes nothing
    asked = Asked(run_id, created_at, known_seq)            [fold]
    head = read_head(store, stream, asked, hooks=hooks)     [head] -> Head; can_write=False to look
        head.own       set and final: this run has committed already
        head.live      last commit of the live lane; head.schema, head.version, head.read_at
    identity = build_identity(source, unit, cursor_type)    [identity]
    blocks = read_blocks(store, namespace, extraction, run_ids)             [admit]
    admission = admit(head, unit, identity, blocks)         [admit] kind, low, approved
    read_at = decide_read_at(head, snapshot_at)             [admit]
    sink = open_part(store, stream, attempt_id=..., number=..., metadata=...)
                                                            [upload] path, write, finish, abort
    approved = decide_size(head, unit, written_rows, blocks)                [admit] ReplaceTooSmall
    commit(store, stream, head, Draft(...), deadline_at=..., hooks=hooks)
                                                            [commit] -> Committed(seq, version, ...)

The heads of all units are read before the source's snapshot is opened. `protocol` decides how a
commit ends and is pure; `fold` is what a log means; `delta`, `schema`, `draft` and `body` are the
bytes. This stage knows no driver.
"""

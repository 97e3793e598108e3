"""Stage 6: what was written becomes a version of the dataset's Delta table, or nothing of it can be seen.

How `run` and `unit` use it, in this order (every function says itself what it raises and what happens when called twice):

    hooks = Hooks(at=..., pause=...)                                       hooks    NO_HOOKS in production
    probe(store, token=attempt_id, now=clock, hooks=hooks)                 probe    once a store, before a first commit
    stream = Stream(namespace, extraction, dataset)                        keys     all keys, `table_prefix(stream)`
    claim(store, stream, Owner(cluster, namespace, extraction, distributor), hooks=hooks)
                                                                           claim    `check_claim` when nothing is published
    head = read_head(store, stream, Asked(run_id, created_at, known_seq), hooks=hooks, can_write=True)
                                                                           head     -> fold.Head
    head.own (set and .final: AlreadyCommitted), head.live, head.schema, head.version, head.read_at
    identity = build_identity(request.source, unit, cursor_type)           identity
    blocks = read_blocks(store, namespace, extraction, request.approve)    admit
    admission = admit(head, unit, identity, blocks)                        admit    kind, low (str | Position | None), approved
    read_at = decide_read_at(head, snapshot.snapshot_at)                   admit
    sink = open_part(store, stream, attempt_id=..., number=..., metadata=..., hooks=hooks)
                                                                           upload   PartFile: path, write, finish, abort
    approved += decide_size(head, unit, counts.written, blocks)            admit    ReplaceTooSmall
    committed = commit(store, stream, head, Draft(...), deadline_at=..., hooks=hooks)
                                                                           commit   -> Committed(seq, version, read_at, already)

The heads of all units are read before the source's snapshot is opened. `protocol` decides how a commit ends and is pure;
`fold` is what a log means; `delta`, `schema`, `draft` and `body` are the bytes. This stage knows no driver.
"""

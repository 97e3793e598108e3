"""Stage 6: what was written becomes a version of the dataset's Delta table, or nothing of it is seen.

How `run` and `unit` use it, in this order. Every function says itself what it raises and what
happens when it is called twice. The module of each is in brackets.

    hooks = Hooks(at=..., pause=...)                        [hooks] NO_HOOKS outside tests
    stream = Stream(namespace, extraction, dataset)         [keys] all keys, `table_prefix(stream)`
    check_claim(store, stream, Owner(...))                  [claim] -> claimed already? writes nothing
    asked = Asked(run_id, created_at, known_seq, lane, files, epoch)        [fold]
    head = find_head(store, stream, asked)                  [head] -> Head; writes nothing
        head.own       set and final: this run has committed already
        head.live      last commit of the live lane; head.schema, head.version, head.read_at
        head.files     only when `head.has_files`: asked for, or a Replace
    probe(store, token=..., now=..., race_keys=..., hooks=hooks)            [probe] before the first
                   write to a store that holds nothing of this extraction
    claim(store, stream, Owner(...), hooks=hooks)           [claim]
    head = heal_copies(store, stream, head, hooks)          [head] puts missing copies
    read_head(store, stream, asked, hooks=..., can_write=...)               [head] both in one
    identity = build_identity(source, unit, cursor_type)    [identity]
    blocks = read_blocks(store, namespace, extraction, run_ids)             [admit]
    admission = admit(head, unit, identity, blocks)         [admit] kind, low, approved
    admission = admit_backfill(head, unit, identity, lane, low)             [admit] for another lane
    read_at = decide_read_at(head, snapshot_at)             [admit]
    sink = open_part(store, stream, attempt_id=..., number=..., metadata=...)
                                                            [upload] path, write, finish, abort
    approved = decide_size(head, unit, written_rows, blocks)                [admit] ReplaceTooSmall
    commit(store, stream, head, Draft(...), deadline_at=..., hooks=hooks)
                                                            [commit] -> Committed(seq, version, ...)

Reading a log, for upkeep and for people:

    span = find_span(store, stream, known_seq=None)         [span] -> Span(first, last, checkpoints,
    span = find_whole_span(store, stream)                          is_whole) or None; 29 for a gap
    version = read_last_checkpoint(store, stream)           [checkpoint] a hint; None: missing, torn
    state = read_state(store, checkpoint)                   [checkpoint] txns, metadata, protocol
    for file in read_live_files(store, checkpoint): ...     [checkpoint] LiveFile, in bounded memory
    files = read_files(store, stream, span, version)        [files] live files as of a version
    for commit in read_versions(store, stream, after=-1): ...               [head] every commit
    head = advance(NO_TABLE, commits, asked)                [fold] checks gaps and the whole chain
    commit = read_copy(store, stream, lane, seq)            [copies] -> Commit, None without a copy
    put_copy(store, stream, lane=..., seq=..., body=..., hooks=...)         [copies]

The heads of all units are read before the source's snapshot is opened. `protocol` decides how a
commit ends and is pure; `fold` is what a log means; `delta`, `schema`, `draft` and `body` are the
bytes. This stage knows no driver.
"""

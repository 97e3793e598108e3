"""What a table needs beside runs: checkpoints, larger files, room, and proof that all of it is whole.

Called by `dpp maintain`, `dpp verify` and `dpp index`, and by a run for its checkpoint of every
hundredth commit. None of it ever stands between a run and its commit: each step may fail, be killed
or be left out, and the table stays what it is.

    place = build_place(destination, read_secret, uri)       [place]      how deltalake finds a table
    answer = carry_out(work, limits)                         [child]      deltalake, in a process of its own
    checkpoint(...), compact(...), vacuum(...)               [checkpoint, compact, vacuum]
    maintain(store, stream, plan, ...)                       [maintain]   all of them, for one table
    run_upkeep(request, yard, ...)                           [run]        a Maintain run, with its report
    sweep(store, namespace, extraction, keep, now)           [control]    old records, plans, quarantine
    verify(store, stream, depth, now)                        [verify]     -> Verdict with Findings
    rebuild(store, stream, index)                            [rebuild]    the index from copies and records

deltalake is imported in `work` alone, and only in a child process: it is large, it is not ours, and
a panic in it must not end a run.
"""

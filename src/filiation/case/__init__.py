"""The case file: what was planned, what was looked at, in which order, and everything a hostile expert needs to check it.

    records        what a plan, a manifest and an entry of the ledger say: plain records, no files
    objects        content-addressed bytes
    files          durable writing and reading, no link followed
    ledger         the append-only chain of entries
    folder         a case on disk: header, ledger, objects, checkpoints; crash-safe
    signing        keys, DSSE envelopes, in-toto statements
    time_stamps    RFC 3161
    beacons        public randomness, verified
    commitments    what is fixed before a beacon speaks: signed statement, stamps, order in time
    secret_keys    keys of 32 bytes in files of their own
    drawing        seeds, foils and code names, all by a procedure that anybody can repeat
    verification   the numbered checks

The format is specified in docs/case-file-format.md. Nothing here examines a model: `filiation.proceedings` does.
"""

"""Readers of the files in which answers of models are recorded, one module per format, and what brings them into one table.

A reader yields `answer.Answer`s; `table` alone works in columns. `importing.import_transcripts` is the procedure.
"""

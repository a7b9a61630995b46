"""The demonstration: real models and tokenizers compared, from their files, to reports one can open (`make demo`)."""

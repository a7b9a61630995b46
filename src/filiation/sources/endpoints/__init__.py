"""Live endpoints: what a model behind an address answers, recorded before it is used.

location.py              'openai:MODEL@URL' as an Endpoint, and the key that belongs to it
exchange.py              the records: Question, Parameters, Answer, Fault
openai_chat.py, openai_completions.py, anthropic_messages.py
                         bytes to send, bytes received: no input or output
event_stream.py          server-sent events, read from bytes
protocols.py             which of the three an endpoint speaks, and what a status means
recorder.py              the append-only file of raw exchanges, and the transcript made of it
asking.py                asks: pace, patience, retries, budget
"""

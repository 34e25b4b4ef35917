"""The DNS wire format: names, types, messages, rdata, text. Pure; imports nothing of dnsd."""

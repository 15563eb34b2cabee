"""Calls of models: the only way from a run to a provider, and where its keys, its counting and its limits are.

provider    the table: what each provider is called, asked and told
keys        whose key is used, and where it is kept
headers     what of a request and of an answer is passed on
requests    what is changed in a request so that its answer says what it cost
counting    what an answer says it used
prices      what that costs
key_echo    no key comes back
refusals    what the gateway itself answers, in each provider's own shape
forwarding  one call: asked, streamed back, counted
server      HTTP for the programs of one run
access      what a definition may use, and what its programs are told of it
"""

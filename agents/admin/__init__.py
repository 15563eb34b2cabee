"""Django's admin: look at everything, change no history. Cancel and retry go through `agents.runs.commands`, as
everywhere.

readonly      what can be looked at and not edited; its lists stay fast: `uncounted`, `search`, `filters`
definitions   the catalog as a page; it lives in a file
agents, runs  with attempts and answers beside them
operations    cancel, retry, release a lease: after a question, with an entry in the history
timeline      a run's events, readable
tokens        API tokens: made (and shown once), revoked
provider_keys keys of providers: entered, and shown never
"""

from django.contrib import admin

from agents.admin import agents, provider_keys, runs, tokens

admin.site.site_header = "Agentsite"
admin.site.site_title = "Agentsite"
admin.site.index_title = "Administration"
admin.site.index_template = "admin/agents/index.html"

__all__ = ["agents", "provider_keys", "runs", "tokens"]

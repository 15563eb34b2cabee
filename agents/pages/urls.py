from django.urls import path

from agents.pages import bulk, listing, new, overview, views

app_name = "pages"
urlpatterns = [
    path("", listing.agent_list, name="list"),
    path("agents/new/", new.new_agent, name="new"),
    path("overview/", overview.overview, name="overview"),
    path("agents/bulk/", bulk.bulk, name="bulk"),
    path("agents/<uuid:agent_id>/", views.agent_page, name="agent"),
    path("agents/<uuid:agent_id>/prompt/", views.prompt, name="prompt"),
    path("agents/<uuid:agent_id>/stop/", views.stop, name="stop"),
    path("runs/<uuid:run_id>/changes/", views.changes, name="changes"),
]

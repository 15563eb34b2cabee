from django.urls import path

from agents.pages import bulk, file_views, fork, listing, new, overview, run_views, transcript, views

app_name = "pages"
urlpatterns = [
    path("", listing.agent_list, name="list"),
    path("agents/new/", new.new_agent, name="new"),
    path("overview/", overview.overview, name="overview"),
    path("agents/bulk/", bulk.bulk, name="bulk"),
    path("agents/<uuid:agent_id>/", views.agent_page, name="agent"),
    path("agents/<uuid:agent_id>/prompt/", views.prompt, name="prompt"),
    path("agents/<uuid:agent_id>/stop/", views.stop, name="stop"),
    path("agents/<uuid:agent_id>/transcript/", transcript.transcript, name="transcript"),
    path("agents/<uuid:agent_id>/fork/", fork.fork, name="fork"),
    path("agents/<uuid:agent_id>/side/", file_views.side, name="side"),
    path("agents/<uuid:agent_id>/files/", file_views.folder, name="files"),
    path("agents/<uuid:agent_id>/files/<path:path>", file_views.file_or_folder, name="file"),
    path("agents/<uuid:agent_id>/runs/", run_views.runs, name="runs"),
    path("agents/<uuid:agent_id>/changes/", run_views.changes_in_total, name="changes-in-total"),
    path("runs/<uuid:run_id>/", run_views.run_page, name="run"),
    path("runs/<uuid:run_id>/live/", run_views.live, name="run-live"),
    path("runs/<uuid:run_id>/changes/", run_views.changes, name="changes"),
    path("runs/<uuid:run_id>/retry/", run_views.retry, name="run-retry"),
    path("runs/<uuid:run_id>/continue/", run_views.resume, name="run-resume"),
    path("runs/<uuid:run_id>/stop/", run_views.stop, name="run-stop"),
]

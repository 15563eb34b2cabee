from django.urls import path

from agents.pages import views

app_name = "pages"
urlpatterns = [
    path("", views.agent_list, name="list"),
    path("agents/new/", views.new_agent, name="new"),
    path("agents/<uuid:agent_id>/", views.agent_page, name="agent"),
    path("agents/<uuid:agent_id>/prompt/", views.prompt, name="prompt"),
    path("agents/<uuid:agent_id>/stop/", views.stop, name="stop"),
    path("runs/<uuid:run_id>/changes/", views.changes, name="changes"),
]

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from agents.api.urls import handler400, handler500
from agents.asgi.feed import feed
from agents.pages.login import login_link

__all__ = ["handler400", "handler500", "urlpatterns"]
urlpatterns = [
    path("admin/", admin.site.urls),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("login/link/<str:token>", login_link, name="login-link"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("api/feed", feed),
    path("", include("agents.api.urls")),
    path("", include("agents.pages.urls")),
]

"""The pages' addresses, for the stub site: those of the whole site that the pages link to, and nothing behind them."""

from django.http import HttpRequest, HttpResponse
from django.urls import include, path


def nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


admin = ([path("", nothing, name="index")], "admin")
urlpatterns = [
    path("login/", nothing, name="login"),
    path("logout/", nothing, name="logout"),
    path("admin/", include(admin)),
    path("", include("agents.pages.urls")),
]

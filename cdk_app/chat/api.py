"""The chat's HTTP API: what its pages call."""

from aws_cdk import aws_apigatewayv2 as api

GET, POST = api.HttpMethod.GET, api.HttpMethod.POST
ROUTES = {
    "/chats": (GET, POST),
    "/chats/waiting": (GET,),
    "/chats/{id}": (GET,),
    "/chats/{id}/accept": (POST,),
    "/chats/{id}/messages": (GET, POST),
    "/chats/{id}/typing": (POST,),
    "/chats/{id}/transfer": (POST,),
    "/chats/{id}/end": (POST,),
    "/chats/{id}/rating": (POST,),
    "/chats/{id}/transcript": (GET,),
}

"""infra/deploy/check-deploy: `sam deploy` into an emulator, and the functions invoked there."""

import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

import boto3

from check_parts import ROOT, Processes, check, die, free_port, run, verdict, wait_for_port

ARCH = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine())
STACK = "notify-me-check"
TABLE = "notify-me-check"
PARAMETERS = {
    "ShopName": "Example",
    "ProductUrl": "https://shop.example/{productId}",
    "SenderAddress": "shop@example.com",
    "SenderIdentity": "example.com",
    "KafkaLogin": "plaintext",
    # No broker is there: what depends on Kafka must say so.
    "KafkaBootstrapServers": "127.0.0.1:9",
    "VpcSubnetIds": "subnet-0123456789abcdef0",
    "VpcSecurityGroupIds": "sg-0123456789abcdef0",
    "Architecture": ARCH,
    "TableName": TABLE,
    "DeletionProtection": "false",
}

ROUTES = {
    "GET /products/{productId}": "NONE",
    "HEAD /products/{productId}": "NONE",
    "POST /products/{productId}/subscriptions": "NONE",
    "GET /products/{productId}/subscriptions/count": "NONE",
    "HEAD /products/{productId}/subscriptions/count": "NONE",
    "GET /unsubscribe/{token}": "NONE",
    "HEAD /unsubscribe/{token}": "NONE",
    "POST /unsubscribe/{token}": "NONE",
    "$default": "NONE",
    "PUT /products/{productId}/stock": "AWS_IAM",
    "PUT /products/{proxy+}": "AWS_IAM",
}


def event(name):
    return (ROOT / "events" / name).read_bytes()


def deploy():
    overrides = [f"{name}={value}" for name, value in PARAMETERS.items()]
    run("sam", "deploy", "--stack-name", STACK, "--no-confirm-changeset", "--parameter-overrides", *overrides, stderr=subprocess.PIPE)
    stack = boto3.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    check("sam deploy ends with", stack["StackStatus"], "CREATE_COMPLETE")


def invoke(function, payload):
    answer = boto3.client("lambda").invoke(FunctionName=f"{STACK}-{function}", Payload=payload)
    body = json.loads(answer["Payload"].read())
    return {"error": body} if answer.get("FunctionError") else body


def what_is_there():
    functions = {each["FunctionName"]: each for each in boto3.client("lambda").list_functions()["Functions"]}
    for function in ("subscribe", "restock", "notify"):
        found = functions.get(f"{STACK}-{function}", {})
        check(f"function {function}", (found.get("Runtime"), found.get("Architectures")), ("provided.al2023", [ARCH]))
        variables = found.get("Environment", {}).get("Variables", {})
        local = [name for name in variables if name.startswith("AWS_ENDPOINT_URL")]
        check(f"function {function} has no variables that are only for sam local", local, [])
        check(
            f"function {function} has values instead of references",
            [name for name, value in variables.items() if "{{resolve:" in value or "${" in value],
            [],
        )
    table = boto3.client("dynamodb").describe_table(TableName=TABLE)["Table"]
    check("the table", (table["TableStatus"], [key["AttributeName"] for key in table["KeySchema"]]), ("ACTIVE", ["pk", "sk"]))
    gateway = boto3.client("apigatewayv2")
    apis = [api["ApiId"] for api in gateway.get_apis()["Items"] if api["Name"] == STACK]
    routes = [route for api in apis for route in gateway.get_routes(ApiId=api)["Items"]]
    check("the routes and their authorization", {route["RouteKey"]: route.get("AuthorizationType", "NONE") for route in routes}, ROUTES)
    mappings = boto3.client("lambda").list_event_source_mappings(FunctionName=f"{STACK}-notify")["EventSourceMappings"]
    # The emulator keeps no topics of a mapping.
    wanted = [["ReportBatchItemFailures"]] * 2
    check("the mappings and what they answer to", [each.get("FunctionResponseTypes") for each in mappings], wanted)


def what_works():
    check("subscribe: events/http-subscribe.json", invoke("subscribe", event("http-subscribe.json"))["statusCode"], 201)
    check("subscribe: the same again", invoke("subscribe", event("http-subscribe.json"))["statusCode"], 200)
    items = boto3.client("dynamodb").scan(TableName=TABLE)["Items"]
    kinds = sorted(item["pk"]["S"].split("#")[0] for item in items)
    check("the subscription and its waitlist entry are in the table", [kind for kind in kinds if kind in "SW"], ["S", "W"])
    counted = json.loads(invoke("subscribe", event("http-count.json"))["body"])
    check("subscribe: events/http-count.json", counted["waiting"], 1)
    swept = invoke("notify", event("notify-sweep.json"))
    check("notify: events/notify-sweep.json", swept, lambda answer: answer.get("open") == 0)
    refused = invoke("restock", event("http-stock-update.json"))
    check("restock without its Kafka: events/http-stock-update.json", refused.get("statusCode"), 503)


def main():
    if ARCH is None:
        die(f"a machine that Lambda has too; this one is {platform.machine()}")
    run("sam", "build", env={**os.environ, "ARCH": ARCH, "SAM_CLI_TELEMETRY": "0"}, stderr=subprocess.PIPE)
    with tempfile.TemporaryDirectory() as folder, Processes() as processes:
        port = free_port()
        os.environ.update(
            AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}",
            # Made up, and all there is: nothing of this may reach a real account.
            AWS_ACCESS_KEY_ID="test",
            AWS_SECRET_ACCESS_KEY="test",
            AWS_DEFAULT_REGION="eu-west-1",
            AWS_REGION="eu-west-1",
            AWS_CONFIG_FILE=os.devnull,
            AWS_SHARED_CREDENTIALS_FILE=os.devnull,
            SAM_CLI_TELEMETRY="0",
        )
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            os.environ.pop(name, None)
        log = pathlib.Path(folder) / "emulator.log"
        python = pathlib.Path(os.environ["EMULATOR"]) / "bin" / "python"
        settings = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "TMPDIR": folder}
        emulator = processes.start(python, "-m", "ministack", log=log, cwd=folder, env={**os.environ, **settings})
        wait_for_port("127.0.0.1", port, emulator, log)
        deploy()
        what_is_there()
        what_works()
    return verdict("check-deploy")


if __name__ == "__main__":
    sys.exit(main())

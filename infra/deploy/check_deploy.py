"""infra/deploy/check-deploy: `sam deploy` into an emulator, and the functions invoked there."""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import socket
import subprocess
import sys
import tempfile

import boto3
from samcli.yamlhelper import yaml_parse

import smoke
from check_parts import ROOT, Processes, check, die, free_port, run, verdict, wait_for_port

ARCH = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine())
PROGRAM = ROOT / "target" / "debug" / "notify-me"
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
    # The emulator's SES is none of ours: no email would lead to a confirmation.
    "Confirmation": "off",
}

ROUTES = {
    "GET /products/{productId}": "NONE",
    "HEAD /products/{productId}": "NONE",
    "POST /products/{productId}/subscriptions": "NONE",
    "GET /products/{productId}/subscriptions/count": "NONE",
    "HEAD /products/{productId}/subscriptions/count": "NONE",
    "GET /products/{productId}/challenge": "NONE",
    "HEAD /products/{productId}/challenge": "NONE",
    "GET /unsubscribe/{token}": "NONE",
    "HEAD /unsubscribe/{token}": "NONE",
    "POST /unsubscribe/{token}": "NONE",
    "GET /confirm/{token}": "NONE",
    "HEAD /confirm/{token}": "NONE",
    "POST /confirm/{token}": "NONE",
    "POST /alerts/link": "NONE",
    "GET /alerts/{token}": "NONE",
    "HEAD /alerts/{token}": "NONE",
    "GET /alerts/{token}/export": "NONE",
    "HEAD /alerts/{token}/export": "NONE",
    "GET /alerts/{token}/erase": "NONE",
    "HEAD /alerts/{token}/erase": "NONE",
    "POST /alerts/{token}/erase": "NONE",
    "POST /alerts/{token}/leave": "NONE",
    "POST /alerts/{token}/leave-all": "NONE",
    "POST /alerts/{token}/never": "NONE",
    "GET /subscribers/{proxy+}": "AWS_IAM",
    "HEAD /subscribers/{proxy+}": "AWS_IAM",
    "DELETE /subscribers/{proxy+}": "AWS_IAM",
    "GET /suppressions/{proxy+}": "AWS_IAM",
    "HEAD /suppressions/{proxy+}": "AWS_IAM",
    "PUT /suppressions/{proxy+}": "AWS_IAM",
    "DELETE /suppressions/{proxy+}": "AWS_IAM",
    "$default": "NONE",
    "PUT /products/{productId}/stock": "AWS_IAM",
    "PUT /products/{proxy+}": "AWS_IAM",
    "GET /products/{productId}/rules": "AWS_IAM",
    "HEAD /products/{productId}/rules": "AWS_IAM",
    "PUT /products/{productId}/rules": "AWS_IAM",
    "DELETE /products/{productId}/rules": "AWS_IAM",
    "GET /rules/{proxy+}": "AWS_IAM",
    "HEAD /rules/{proxy+}": "AWS_IAM",
    "PUT /rules/{proxy+}": "AWS_IAM",
    "DELETE /rules/{proxy+}": "AWS_IAM",
    "GET /restocks/{proxy+}": "AWS_IAM",
    "HEAD /restocks/{proxy+}": "AWS_IAM",
    "POST /restocks/{proxy+}": "AWS_IAM",
}


# What a rule of the template says, and parameters that break it.
REFUSED = {
    "KafkaLogin msk-iam needs KafkaClusterArn": {"KafkaLogin": "msk-iam"},
    "KafkaLogin plain, scram-256, scram and mtls need KafkaSecretArn": {"KafkaLogin": "plain"},
    "KafkaLogin msk-iam and plaintext need VpcSubnetIds": {"VpcSubnetIds": "", "VpcSecurityGroupIds": ""},
    "VpcSubnetIds needs VpcSecurityGroupIds": {"VpcSecurityGroupIds": ""},
    "StockAuth jwt needs JwtScopes": {"StockAuth": "jwt", "JwtIssuer": "https://login.example/", "JwtAudience": "shop"},
}

# The other branches: a password and a CA instead of a VPC, a JWT, on-demand polling, limits.
OTHER = {
    "KafkaLogin": "scram",
    "KafkaBootstrapServers": "127.0.0.1:9",
    "VpcSubnetIds": "",
    "VpcSecurityGroupIds": "",
    "TableName": f"{TABLE}-other",
    "MinimumPollers": "0",
    "NotifyReservedConcurrency": "5",
    "StockAuth": "jwt",
    "JwtIssuer": "https://login.example/",
    "JwtAudience": "shop,desk",
    "JwtScopes": "stock/write,stock/admin",
    "TableMaximumUnits": "8000",
    "TableWarmWrites": "6000",
    "TableKms": "true",
    "RequireTls": "true",
    "SesSandbox": "true",
}


def event(name):
    return (ROOT / "events" / name).read_bytes()


def leave_out_metric_math():
    """Takes the alarms on several metrics out of what was built. The emulator does not have them: it would refuse the whole stack."""
    built = ROOT / ".aws-sam" / "build" / "template.yaml"
    template = yaml_parse(built.read_text(encoding="utf-8"))
    alarms = {name: each for name, each in template["Resources"].items() if each["Type"] == "AWS::CloudWatch::Alarm"}
    for name in [name for name, alarm in alarms.items() if "Metrics" in alarm["Properties"]]:
        del template["Resources"][name]
        print(f"NOT CHECKED  the alarm {name}: the emulator knows no metric math", flush=True)
    built.write_text(json.dumps(template), encoding="utf-8")


def sam_deploy(stack, parameters):
    """What sam says where it fails, and what the stack's events say; nothing where it does not."""
    # sam takes no empty value; what is left out has the template's default.
    overrides = [f"{name}={value}" for name, value in parameters.items() if value]
    options = ("--no-confirm-changeset", "--no-progressbar", "--parameter-overrides", *overrides)
    done = subprocess.run(["sam", "deploy", "--stack-name", stack, *options], cwd=ROOT, capture_output=True, text=True, check=False)
    return f"{done.stderr}\n{why_it_failed(stack)}" if done.returncode else ""


def status_of(stack):
    return boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]


def deploy(stack, parameters):
    """A stack that does not go up ends the check: there is nothing to look at."""
    if said := sam_deploy(stack, parameters):
        sys.exit(f"sam deploy of {stack} failed: {said}")
    check(f"sam deploy of {stack} ends with", status_of(stack), "CREATE_COMPLETE")


def what_is_refused():
    """The template's rules, one deployment each that breaks it."""
    for why, broken in REFUSED.items():
        said = sam_deploy(f"{STACK}-refused", PARAMETERS | broken)
        check(f"refused: {why}", said, lambda said, why=why: why in said)


def why_it_failed(stack):
    """What the stack's events say of its resources: sam says only that the stack failed."""
    try:
        events = boto3.client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]
    except boto3.client("cloudformation").exceptions.ClientError as error:
        return f"no stack events: {error}"
    failed = [event for event in events if "FAILED" in event["ResourceStatus"] or event.get("ResourceStatusReason")]
    return "\n".join(f"{event['LogicalResourceId']}: {event['ResourceStatus']} {event.get('ResourceStatusReason', '')}" for event in failed)


def invoke(function, payload):
    answer = boto3.client("lambda").invoke(FunctionName=f"{STACK}-{function}", Payload=payload)
    body = json.loads(answer["Payload"].read())
    return {"error": body} if answer.get("FunctionError") else body


def what_is_there():
    functions = {each["FunctionName"]: each for each in boto3.client("lambda").list_functions()["Functions"]}
    for function in ("subscribe", "restock", "notify", "feedback"):
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
    seen = {route["RouteKey"]: route.get("AuthorizationType", "NONE") for route in routes(STACK)}
    check("the routes and who may call them", seen, ROUTES)
    mappings = boto3.client("lambda").list_event_source_mappings(FunctionName=f"{STACK}-notify")["EventSourceMappings"]
    queue = boto3.client("lambda").list_event_source_mappings(FunctionName=f"{STACK}-feedback")["EventSourceMappings"]
    check("the queue of SES's events and what it answers to", [each.get("FunctionResponseTypes") for each in queue], [["ReportBatchItemFailures"]])
    # The emulator keeps no topics of a mapping.
    wanted = [["ReportBatchItemFailures"]] * 2
    check("the mappings and what they answer to", [each.get("FunctionResponseTypes") for each in mappings], wanted)


def routes(stack):
    gateway = boto3.client("apigatewayv2")
    apis = [api["ApiId"] for api in gateway.get_apis()["Items"] if api["Name"] == stack]
    return [route for api in apis for route in gateway.get_routes(ApiId=api)["Items"]]


def the_other_branches():
    """A second stack, with what the first one has not."""
    secrets = boto3.client("secretsmanager")
    login = secrets.create_secret(Name="login", SecretString=json.dumps({"username": "shop", "password": "made-up"}))["ARN"]
    ca = secrets.create_secret(Name="ca", SecretString=json.dumps({"certificate": "made up"}))["ARN"]
    stack = f"{STACK}-other"
    deploy(stack, PARAMETERS | OTHER | {"KafkaSecretArn": login, "KafkaCaSecretArn": ca})
    closed = {each["RouteKey"]: (each.get("AuthorizationType"), each.get("AuthorizationScopes")) for each in routes(stack) if each["RouteKey"].startswith("PUT ")}
    jwt = ("JWT", OTHER["JwtScopes"].split(","))
    check("stock is put with a JWT of one of the scopes alone", closed, {key: jwt for key in ROUTES if key.startswith("PUT ")})
    variables = boto3.client("lambda").get_function_configuration(FunctionName=f"{stack}-notify")["Environment"]["Variables"]
    wanted = {"KAFKA_USERNAME": "shop", "KAFKA_PASSWORD": "made-up", "KAFKA_CA_CERTIFICATE": "made up", "REPORT_BATCH_ITEM_FAILURES": "false"}
    check("notify has Kafka's login", {name: variables.get(name) for name in wanted}, wanted)
    table = boto3.client("dynamodb").describe_table(TableName=OTHER["TableName"])["Table"]
    check("the other table", table["TableStatus"], "ACTIVE")


def what_works():
    check("subscribe: events/http-subscribe.json", invoke("subscribe", event("http-subscribe.json"))["statusCode"], 201)
    check("subscribe: the same again", invoke("subscribe", event("http-subscribe.json"))["statusCode"], 200)
    items = boto3.client("dynamodb").scan(TableName=TABLE)["Items"]
    kinds = sorted(item["pk"]["S"].split("#")[0] for item in items)
    wanted = ["S", "S", "W"]
    check("the subscription, its consent and its waitlist entry are in the table", [kind for kind in kinds if kind in "SW"], wanted)
    counted = json.loads(invoke("subscribe", event("http-count.json"))["body"])
    check("subscribe: events/http-count.json", counted["waiting"], 1)
    for name in ("sqs-bounce-permanent", "sqs-complaint", "sqs-delivery", "sqs-raw-bounce"):
        done = invoke("feedback", event(f"feedback-{name}.json"))
        check(f"feedback: events/feedback-{name}.json", done.get("batchItemFailures"), [])
    poison = json.loads(event("feedback-sqs-poison-among-good.json"))
    again = [{"itemIdentifier": poison["Records"][1]["messageId"]}]
    check("feedback: only the message that holds no event comes again", invoke("feedback", json.dumps(poison)).get("batchItemFailures"), again)
    swept = invoke("notify", event("notify-sweep.json"))
    check("notify: events/notify-sweep.json", swept, lambda answer: answer.get("open") == 0)
    ruled = invoke("restock", event("http-rules.json"))
    check("restock: events/http-rules.json", (ruled.get("statusCode"), json.loads(ruled["body"])["rules"].get("perUnit")), (200, 2))
    refused = invoke("restock", event("http-stock-update.json"))
    check("restock without its Kafka: events/http-stock-update.json", refused.get("statusCode"), 503)


@contextlib.contextmanager
def kafka():
    """A real Kafka with the topics, for as long as the block lasts."""
    name = "check-deploy"
    broker = json.loads(run("infra/real-parts", "start", "--name", name, "--only", "kafka"))["kafka"]
    try:
        run(PROGRAM, "topics", "--kafka", broker)
        yield broker
    finally:
        run("infra/real-parts", "stop", "--name", name)


def smoke_runs(processes, logs):
    """infra/deploy/smoke on a stack with a real Kafka. `notify-me poll` stands for the mappings, which the emulator does not work off."""
    run("cargo", "build", "--locked", "--workspace", "--bin", "notify-me", stderr=subprocess.PIPE)
    stack = f"{STACK}-smoke"
    identities = boto3.client("sesv2")
    identities.create_email_identity(EmailIdentity=PARAMETERS["SenderIdentity"])
    with kafka() as broker:
        deploy(stack, PARAMETERS | {"TableName": stack, "KafkaBootstrapServers": broker})
        pollers = []
        for topic, group in (("item-restocked", "notification-service"), ("notification-batches", "notification-service-batches")):
            command = [PROGRAM, "poll", "--kafka", broker, "--topic", topic, "--group", group, "--function", f"{stack}-notify"]
            command += ["--endpoint", os.environ["AWS_ENDPOINT_URL"], "--report-batch-item-failures"]
            pollers.append(processes.start(*command, log=logs / f"poll-{topic}.log"))
        # The API's name is one under localhost, which is loopback (RFC 6761); not every machine's resolver says so.
        look_up = socket.getaddrinfo
        socket.getaddrinfo = lambda host, *rest, **named: look_up("127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **named)
        sys.argv[1:] = ["--stack", stack, "--without-metrics"]
        smoke.main()
        for poller in pollers:
            processes.stop(poller)


def arguments():
    parser = argparse.ArgumentParser(prog="infra/deploy/check-deploy", description="Deploys into an emulator on this machine, and looks whether it works there.")
    parser.add_argument("--smoke", action="store_true", help="then run infra/deploy/smoke on it too, with a real Kafka (Java 17 and Maven)")
    return parser.parse_args()


def main():
    options = arguments()
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
        leave_out_metric_math()
        deploy(STACK, PARAMETERS)
        what_is_there()
        what_works()
        the_other_branches()
        what_is_refused()
        if options.smoke:
            smoke_runs(processes, pathlib.Path(folder))
    return verdict("check-deploy")


if __name__ == "__main__":
    sys.exit(main())

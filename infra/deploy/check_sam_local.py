"""infra/deploy/check-sam-local: the functions in containers, with every sample event and from the shopper to the email."""

import contextlib
import http.client
import ipaddress
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request

from check_parts import ROOT, Processes, check, die, free_port, run, tail, verdict, wait_for_port

ARCH = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine())
IMAGE = f"public.ecr.aws/lambda/provided:al2023-{ARCH}"
INSTANCE = "check-sam-local"
TAKEN = {"batchItemFailures": []}


def answered(status, **members):
    """An HTTP answer with this status, and a JSON body with at least these members."""

    def right(answer):
        if not isinstance(answer, dict) or answer.get("statusCode") != status:
            return False
        body = json.loads(answer["body"]) if members else {}
        return all(body.get(name) == value for name, value in members.items())

    return right


def fields(*wanted):
    return lambda answers: isinstance(answers, list) and [answer.get("field") for answer in answers] == list(wanted)


# In this order, for what one leaves in the table is what the next one finds. Which emails they lead to is asked afterwards.
SUBSCRIBE = [
    ("http-subscribe.json", answered(201, productId="iphone15")),
    ("http-subscribe.json", answered(200, productId="iphone15")),
    ("http-subscribe-base64.json", answered(201, productId="iphone15")),
    ("http-count.json", answered(200, waiting=2)),
    ("http-subscribe-base64-garbage.json", answered(400, field="body")),
    ("http-subscribe-without-body.json", answered(400, field="body")),
    ("http-wrong-method.json", answered(405)),
    ("http-unknown-route.json", answered(404)),
    ("http-unsubscribe-page.json", answered(200)),
    ("http-unsubscribe-one-click.json", answered(200)),
    ("http-confirm-page.json", answered(410)),
    ("http-confirm.json", answered(410)),
]
FIRST_RESTOCK = ("kafka-msk-restock.json", TAKEN)
NOTIFY = [
    ("kafka-msk-restock.json", TAKEN),
    ("kafka-self-managed-restock.json", TAKEN),
    ("kafka-msk-restock-without-restock-id.json", TAKEN),
    ("kafka-msk-headers-with-negative-bytes.json", TAKEN),
    ("kafka-msk-tombstone.json", TAKEN),
    ("kafka-msk-poison-among-good.json", TAKEN),
    ("kafka-msk-several-partitions-and-both-topics.json", TAKEN),
    ("kafka-msk-batch-job.json", TAKEN),
    ("kafka-self-managed-batch-job.json", TAKEN),
    ("kafka-msk-all-poison.json", TAKEN),
    ("kafka-msk-sold-out.json", TAKEN),
    ("kafka-msk-restock-plain-text.json", TAKEN),
    ("kafka-self-managed-restock-plain-text.json", TAKEN),
    ("kafka-msk-restock-plain-text-with-name.json", TAKEN),
    ("notify-sweep.json", lambda answer: isinstance(answer.get("open"), int) and isinstance(answer.get("putBack"), int)),
]
RESTOCK = [
    ("http-restock.json", answered(200, productId="iphone15")),
    ("http-restock-release.json", answered(409)),
    ("http-stock-update.json", answered(202, productId="iphone15", restockId="r-2026-11-23-0001")),
    ("http-stock-update-sold-out.json", answered(202, productId="iphone15")),
    ("http-rules.json", answered(200, productId="iphone15")),
    ("restock-direct.json", lambda answer: answer.get("productId") == "iphone15"),
    ("restock-direct-sold-out.json", lambda answer: answer.get("productId") == "iphone15"),
    ("restock-direct-list.json", fields(None, None, "quantity", None)),
]


class Sam:
    """`sam local` with the options that all its commands share."""

    def __init__(self, env_file, logs):
        self.common = ["--env-vars", env_file, "--skip-pull-image", "--parameter-overrides", f"Architecture={ARCH}"]
        self.logs = logs

    def invoke(self, function, event):
        log = self.logs / "invoke.log"
        with open(log, "w", encoding="utf-8") as errors:
            command = ["sam", "local", "invoke", function, "-e", f"events/{event}", *self.common]
            done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True, check=False)
        try:
            return json.loads(done.stdout.strip().splitlines()[-1])
        except (IndexError, ValueError):
            return f"no answer; sam says:\n{tail(log)}"

    def events(self, function, table):
        for event, wanted in table:
            check(f"sam local invoke {function} -e events/{event}", self.invoke(function, event), wanted)

    @contextlib.contextmanager
    def serve(self, what, processes):
        port, log = free_port(), self.logs / f"{what}.log"
        process = processes.start("sam", "local", what, "--port", port, *self.common, log=log)
        try:
            wait_for_port("127.0.0.1", port, process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            processes.stop(process)


def request(method, url, body=None):
    """Status and JSON body (or text) of an answer."""
    headers = {"content-type": "application/json"} if body is not None else {}
    data = json.dumps(body).encode() if body is not None else None
    call = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(call, timeout=120) as answer:
            status, text = answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        status, text = refused.code, refused.read().decode()
    except (OSError, http.client.HTTPException) as failed:
        return 0, repr(failed)
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


class System:
    """The parts on this machine, as the check sees them."""

    def __init__(self, processes, logs, bridge):
        self.logs = logs
        self.program = ROOT / "target" / "debug" / "notify-me"
        self.parts = json.loads(run("infra/real-parts", "start", "--name", INSTANCE, "--bridge", bridge))
        run(self.program, "topics", "--kafka", self.parts["kafka"])
        run("infra/create-table", "--endpoint", self.parts["dynamodb"])
        port = free_port(bridge)
        self.ses = f"http://{bridge}:{port}"
        log = logs / "ses.log"
        ses = processes.start(self.program, "ses", "--listen", f"{bridge}:{port}", log=log)
        wait_for_port(bridge, port, ses, log)

    def mails(self, to):
        status, inbox = request("GET", f"{self.ses}/_aws/ses?{urllib.parse.urlencode({'to': to})}")
        return inbox["messages"] if status == 200 else inbox

    def poll(self, topic, group, endpoint):
        """Everything that is in a topic goes to notify."""
        log = self.logs / f"poll-{topic}.log"
        with open(log, "w", encoding="utf-8") as out:
            command = [self.program, "poll", "--kafka", self.parts["kafka"], "--topic", topic, "--group", group]
            command += ["--function", "NotifyFunction", "--endpoint", endpoint, "--report-batch-item-failures", "--once"]
            try:
                return subprocess.run(command, cwd=ROOT, stdout=out, stderr=out, timeout=300, check=False).returncode
            except subprocess.TimeoutExpired:
                return f"it does not come to an end:\n{tail(log)}"

    def dead_letters(self, topic):
        jars = next((ROOT / "target" / "real-parts" / "jars").glob("kafka-*"))
        tool = "org.apache.kafka.tools.GetOffsetShell"
        offsets = run(
            *("java", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{jars}/*", tool),
            *("--bootstrap-server", self.parts["kafka"], "--topic", f"{topic}-dlq"),
        )
        return sum(int(line.rsplit(":", 1)[1]) for line in offsets.split())


def missing():
    if ARCH is None:
        die(f"a machine that Lambda has too; this one is {platform.machine()}")
    for tool in ("docker", "java", "mvn", "cargo", "make"):
        if subprocess.run(["which", tool], capture_output=True, check=False).returncode:
            die(f"{tool} is not on the PATH")
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        die("a container engine that runs: `docker info` fails")
    if subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode:
        print(f"pulling {IMAGE}", flush=True)
        if subprocess.run(["docker", "pull", "-q", IMAGE], check=False).returncode:
            die(f"the base image {IMAGE}, and it cannot be pulled")


def bridge_address():
    """This machine as containers see it: the bridge's gateway, which is the first address of its network unless it is named."""
    (bridge,) = json.loads(run("docker", "network", "inspect", "bridge"))
    config = bridge["IPAM"]["Config"][0]
    return config.get("Gateway") or str(ipaddress.ip_network(config["Subnet"])[1])


def containers():
    return set(run("docker", "ps", "-aq").split())


def every_event_is_used():
    used = {event for event, _ in [*SUBSCRIBE, FIRST_RESTOCK, *NOTIFY, *RESTOCK]}
    # A dead letter is a document in a topic, which no function is invoked with.
    events = {path.name for path in (ROOT / "events").glob("*.json") if not path.name.startswith("dead-letter-")}
    check("every event of events/ was used", sorted(events - used), [])


def a_restock_ends_as_mails(sam, system, processes):
    sam.events("NotifyFunction", [FIRST_RESTOCK])
    with sam.serve("start-lambda", processes) as endpoint:
        ended = system.poll("notification-batches", "notification-service-batches", endpoint)
        check("notify-me poll gives notification-batches to sam local start-lambda", ended, 0)
    for to in ("user1@example.com", "user2@example.com"):
        mails = system.mails(to)
        check(f"the email to {to} is in the inbox", [mail["Subject"] for mail in mails], lambda seen: len(seen) == 1 and "iPhone 15" in seen[0])


def a_shopper_and_the_inventory(sam, system, processes):
    """From the subscription to the email and back to the unsubscribe link, all over HTTP and Kafka."""
    lamp, shopper = "desk-lamp", "shopper@example.com"
    with sam.serve("start-api", processes) as api, sam.serve("start-lambda", processes) as endpoint:
        asked = request("POST", f"{api}/products/{lamp}/subscriptions", {"email": shopper})
        check("POST a subscription through sam local start-api", asked, (201, {"productId": lamp, "status": "waiting", "inStock": False}))
        check("the same again", request("POST", f"{api}/products/{lamp}/subscriptions", {"email": shopper})[0], 200)
        check("GET the count", request("GET", f"{api}/products/{lamp}/subscriptions/count")[1], lambda body: body["waiting"] == 1)
        status, stock = request("PUT", f"{api}/products/{lamp}/stock", {"quantity": 5, "product": {"name": "Desk lamp", "url": "https://shop.example/desk-lamp"}})
        check("PUT the stock", (status, stock.get("productId") if isinstance(stock, dict) else stock), (202, lamp))
        check("an unknown path", request("GET", f"{api}/nowhere")[0], 404)

        ended = system.poll("item-restocked", "notification-service", endpoint)
        check("notify-me poll gives item-restocked to sam local start-lambda", ended, 0)
        ended = system.poll("notification-batches", "notification-service-batches", endpoint)
        check("notify-me poll gives notification-batches to sam local start-lambda", ended, 0)
        mails = system.mails(shopper)
        check("the record on Kafka ended as an email", [mail["Subject"] for mail in mails], lambda seen: len(seen) == 1 and "Desk lamp" in seen[0])
        if len(mails) != 1:
            return
        (header,) = [header["Value"] for header in mails[0]["Headers"] if header["Name"] == "List-Unsubscribe"]
        path = urllib.parse.urlparse(header.strip("<>")).path
        check("GET the email's unsubscribe link", request("GET", api + path)[0], 200)
        check("POST it", request("POST", api + path)[0], 200)
    check("no subscriber got two emails", [len(system.mails(to)) for to in ("user1@example.com", "user2@example.com", shopper)], [1, 1, 1])


def main():
    missing()
    bridge, before = bridge_address(), containers()
    # Made up: sam wants some, and hands them to the functions, whose calls go to this machine's parts.
    os.environ.update(
        AWS_ACCESS_KEY_ID="local",
        AWS_SECRET_ACCESS_KEY="local",
        AWS_REGION="eu-west-1",
        AWS_DEFAULT_REGION="eu-west-1",
        SAM_CLI_TELEMETRY="0",
    )
    os.environ.pop("AWS_SESSION_TOKEN", None)
    os.environ.pop("AWS_PROFILE", None)

    run("cargo", "build", "--locked", "-p", "notify-me")
    run("sam", "build", env={**os.environ, "ARCH": ARCH}, stderr=subprocess.PIPE)
    print("ok     sam build", flush=True)
    with tempfile.TemporaryDirectory() as folder, Processes() as processes:
        logs = pathlib.Path(folder)
        try:
            system = System(processes, logs, bridge)
            env_file = logs / "env.json"
            env_file.write_text(run("infra/sam-env", "--name", INSTANCE, "--bridge", bridge, "--ses", system.ses), encoding="utf-8")
            sam = Sam(env_file, logs)
            sam.events("SubscribeFunction", SUBSCRIBE)
            a_restock_ends_as_mails(sam, system, processes)
            sam.events("NotifyFunction", NOTIFY)
            check("what cannot be read is in the dead-letter topics", [system.dead_letters(topic) for topic in ("item-restocked", "notification-batches")], [6, 2])
            sam.events("RestockFunction", RESTOCK)
            every_event_is_used()
            a_shopper_and_the_inventory(sam, system, processes)
        finally:
            run("infra/real-parts", "stop", "--name", INSTANCE)
    check("no container is left", containers() - before, set())
    return verdict("check-sam-local")


if __name__ == "__main__":
    sys.exit(main())

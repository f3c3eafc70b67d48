"""Checks that the sample events have the wire form of their triggers, and that each is described in the README."""

import base64
import hashlib
import json
import pathlib
import re
import sys

SIGNED_BYTE = range(-128, 128)


def kafka(event):
    assert event["eventSource"] in ("aws:kafka", "SelfManagedKafka", "aws:SelfManagedKafka"), "eventSource"
    assert ("eventSourceArn" in event) == (event["eventSource"] == "aws:kafka"), "eventSourceArn is MSK's alone"
    for name, records in event["records"].items():
        last = -1
        for record in records:
            assert f'{record["topic"]}-{record["partition"]}' == name, f"a record of another partition in {name}"
            assert record["offset"] > last, f"offsets go up within {name}"
            last = record["offset"]
            assert record["timestampType"] == "CREATE_TIME", "timestampType"
            for part in ("key", "value"):
                if record.get(part) is not None:
                    base64.b64decode(record[part], validate=True)
            for header in record["headers"]:
                (values,) = header.values()
                assert all(value in SIGNED_BYTE for value in values), f"header bytes of {name}"


def http(event):
    context = event["requestContext"]
    assert event["version"] == "2.0" and context["stage"] == "$default", "payload 2.0 of the default stage"
    assert event["routeKey"] == context["routeKey"], "routeKey"
    assert event["rawPath"] == context["http"]["path"], "path"
    if event["routeKey"] != "$default":
        method, route = event["routeKey"].split(" ")
        assert method == context["http"]["method"], "method"
        # A greedy parameter takes slashes too.
        part_of = lambda part: ".+" if part.endswith("+}") else "[^/]+" if part.startswith("{") else re.escape(part)
        pattern = "/".join(part_of(part) for part in route.split("/"))
        assert re.fullmatch(pattern, event["rawPath"]), f'{event["rawPath"]} is not of {route}'
        named = [part[1:-1].rstrip("+") for part in route.split("/") if part.startswith("{")]
        assert sorted(event.get("pathParameters", {})) == sorted(named), "pathParameters"


def feedback(event):
    if "detail-type" in event:
        assert event["source"] == "aws.ses" and event["detail"]["eventType"], "an event of SES's"
        return
    for record in event["Records"]:
        assert record["eventSource"] == "aws:sqs" and record["messageId"], "a message of SQS"
        assert hashlib.md5(record["body"].encode()).hexdigest() == record["md5OfBody"], "md5OfBody"
        try:
            body = json.loads(record["body"])
        except ValueError:
            continue
        if body.get("Type") == "Notification":
            body = json.loads(body["Message"])
        assert body["eventType"] and body["mail"]["messageId"], "an event of SES's"


def main(folder):
    problems = 0
    readme = (folder / "README.md").read_text(encoding="utf-8")
    files = sorted(folder.glob("*.json"))
    for path in files:
        try:
            event = json.loads(path.read_text(encoding="utf-8"))
            assert f"`{path.name}`" in readme, "not in the README"
            if path.name.startswith("kafka-"):
                kafka(event)
            elif path.name.startswith("dead-letter-"):
                kafka(event["payload"])
            elif path.name.startswith("feedback-"):
                feedback(event)
            elif path.name.startswith("http-"):
                http(event)
        except (AssertionError, KeyError, ValueError) as problem:
            print(f"{path}: {problem!r}")
            problems += 1
    for name in set(re.findall(r"`([\w-]+\.json)`", readme)) - {path.name for path in files}:
        print(f"{folder}/README.md: {name} does not exist")
        problems += 1
    print(f"{folder}: {len(files)} events checked")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))

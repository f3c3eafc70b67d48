"""infra/deploy/smoke: what a deployed stack does with a shopper, a restock, and the addresses of SES's mailbox simulator.

Needs read access to the stack's CloudFormation, Lambda, DynamoDB and CloudWatch, execute-api:Invoke for the stock route
(or --token), and dynamodb:DeleteItem to clean up. --partial-response needs more: lambda:InvokeFunction of restock,
iam:PutRolePolicy and iam:DeleteRolePolicy of notify's role, and logs:FilterLogEvents of its log group, in provisioned mode;
lambda:UpdateFunctionConfiguration of notify in on-demand mode.
"""

import argparse
import base64
import contextlib
import datetime
import hashlib
import hmac
import itertools
import json
import re
import secrets
import sys
import time
import urllib.error
import urllib.request

import boto3
from boto3.dynamodb.types import TypeDeserializer
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from check_parts import check, die, verdict

SIMULATED = ("success", "bounce", "complaint", "suppressionlist")


def arguments():
    parser = argparse.ArgumentParser(prog="infra/deploy/smoke", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", required=True, metavar="NAME")
    parser.add_argument("--api", metavar="URL", help="the API, where it has a domain of its own (default: the stack's output ApiUrl)")
    parser.add_argument("--token", metavar="JWT", help="for the stock route, where StockAuth=jwt (default: an IAM signature)")
    parser.add_argument("--mailbox", metavar="ADDRESS", help="one more shopper, you: press the link in the email when asked to")
    parser.add_argument("--partial-response", action="store_true", help="let records fail for a minute and see that they come again, and no others where the mapping takes single ones")
    parser.add_argument("--without-metrics", action="store_true", help="do not wait for SES's metrics, which take some minutes")
    parser.add_argument("--wait", type=int, default=180, metavar="SECONDS", help="for emails, and for metrics three times that (default: 180)")
    return parser.parse_args()


class Stack:
    """The deployed stack, and what the check does to it."""

    def __init__(self, options):
        self.options = options
        self.session = boto3.Session()
        try:
            stack = self.session.client("cloudformation").describe_stacks(StackName=options.stack)["Stacks"][0]
        except self.session.client("cloudformation").exceptions.ClientError as error:
            die(f"the stack {options.stack}: {error}")
        self.status = stack["StackStatus"]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        self.parameters = {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in stack["Parameters"]}
        self.api = (options.api or self.outputs["ApiUrl"]).rstrip("/")
        self.table = self.outputs["TableName"]
        self.notify = self.outputs["NotifyFunctionName"]
        self.dynamodb = self.session.client("dynamodb")
        self.functions = self.session.client("lambda")
        self.run = secrets.token_hex(4)
        self.product = f"smoke-{self.run}"
        self.shoppers = [f"{kind}+{self.run}@simulator.amazonses.com" for kind in SIMULATED]
        if options.mailbox:
            self.shoppers.append(options.mailbox)
        self.products = [self.product, f"{self.product}-again", *one_partition(self.product)]
        self.restocks = []

    def call(self, method, path, body=None, signed=False, headers=None):
        """Status and JSON body of an answer of the API."""
        data = json.dumps(body) if body is not None else ""
        headers = {"content-type": "application/json"} | (headers or {})
        request = AWSRequest(method=method, url=self.api + path, data=data, headers=headers)
        if signed and self.options.token:
            request.headers["authorization"] = f"Bearer {self.options.token}"
        elif signed:
            SigV4Auth(self.session.get_credentials(), "execute-api", self.session.region_name).add_auth(request)
        prepared = urllib.request.Request(request.url, data=data.encode() or None, headers=dict(request.headers), method=method)
        try:
            with urllib.request.urlopen(prepared, timeout=30) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            status, text = refused.code, refused.read().decode()
        except OSError as failed:
            return 0, str(failed)
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def subscribe(self, product):
        if self.parameters.get("Confirmation") != "off":
            raise SystemExit("smoke: its shoppers are SES's simulator, which confirms nothing: deploy with Confirmation=off for it")
        for shopper in self.shoppers:
            for _ in range(10):
                status, _ = self.call("POST", f"/products/{product}/subscriptions", {"email": shopper})
                if status != 429:
                    break
                # A limit (LimitSource, LimitAddress): the simulator's addresses are few, whatever labels they have.
                time.sleep(30)
            uniform = self.parameters.get("UniformStatus") == "true"
            check(f"POST a subscription for {shopper}", status, 202 if uniform else 201)

    def restock(self, product):
        path, update = f"/products/{product}/stock", {"quantity": 1, "product": {"name": "Smoke test", "url": "https://example.com/"}}
        status, answer = self.call("PUT", path, update, signed=True)
        check("PUT the stock, signed", status, 202)
        restock = answer.get("restockId") if isinstance(answer, dict) else None
        if restock:
            self.restocks.append(restock)
        return restock

    def restock_together(self, products):
        """The restocks of several products, whose records are written in one go."""
        updates = [{"productId": product, "quantity": 1} for product in products]
        done = self.functions.invoke(FunctionName=self.outputs["RestockFunctionName"], Payload=json.dumps(updates))
        answers = json.loads(done["Payload"].read())
        restocks = [answer.get("restockId") for answer in answers] if isinstance(answers, list) else [None]
        check("restock takes a list of updates", restocks, lambda restocks: all(restocks))
        self.restocks += filter(None, restocks)
        return restocks

    def logged(self, since):
        """What notify logged since then, by invocation: a list of lines for each request id."""
        group = f"/aws/lambda/{self.notify}"
        pages = self.session.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group, startTime=int(since * 1000))
        return by_request(event["message"] for page in pages for event in page["events"])

    def items(self, pk):
        read, start = TypeDeserializer().deserialize, {}
        while True:
            page = self.dynamodb.query(
                TableName=self.table,
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": {"S": pk}},
                ConsistentRead=True,
                **start,
            )
            yield from ({name: read(value) for name, value in item.items()} for item in page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def told(self, restock):
        """How many of a restock SES took, and how many not and why not."""
        shards = [item for item in self.items(f"R#{restock}") if item["sk"].startswith("SHARD#")]
        return {name: sum(int(shard.get(name, 0)) for shard in shards) for name in ("sent", "failed", "skipped", "inDoubt")}

    def subscription(self, address, product):
        """The key of a subscription: a person stands in it as the keyed hash of their address (shared/domain/src/person.rs)."""
        variables = self.functions.get_function_configuration(FunctionName=self.outputs["SubscribeFunctionName"])["Environment"]["Variables"]
        mac = hmac.new(variables["PERSON_KEY"].encode(), address.lower().encode(), hashlib.sha256).digest()
        person = base64.urlsafe_b64encode(mac[:16]).decode().rstrip("=")
        return {"pk": {"S": f"S#{person}"}, "sk": {"S": f"P#{product}"}}

    def clean_up(self):
        # A list has one shard until it is long, and no priority lane here.
        states = [item for product in self.products for item in self.items(f"P#{product}")]
        shards = range(max([1] + [int(state.get("shards", 1)) for state in states if state["sk"] == "STATE"]))
        keys = [f"P#{product}" for product in self.products] + [f"R#{restock}" for restock in self.restocks]
        keys += [f"W#{product}#m0.{shard}" for product in self.products for shard in shards]
        gone = 0
        for pk in keys:
            for item in list(self.items(pk)):
                self.dynamodb.delete_item(TableName=self.table, Key={"pk": {"S": pk}, "sk": {"S": item["sk"]}})
                gone += 1
        for shopper in self.shoppers:
            for product in self.products:
                self.dynamodb.delete_item(TableName=self.table, Key=self.subscription(shopper, product))
        print(f"cleaned up: {gone} items of {self.product}")


def all_sent(count):
    return {"sent": count, "failed": 0, "skipped": 0, "inDoubt": 0}


def eventually(seconds, look, wanted):
    """The last look, once it is as wanted or the time is up."""
    end = time.monotonic() + seconds
    while (seen := look()) != wanted and time.monotonic() < end:
        time.sleep(3)
    return seen


def what_is_there(stack):
    check("the stack", stack.status, lambda status: status.endswith("_COMPLETE") and "ROLLBACK" not in status)
    for name in ("SubscribeFunctionName", "RestockFunctionName", "NotifyFunctionName"):
        function = stack.functions.get_function_configuration(FunctionName=stack.outputs[name])
        check(f"function {function['FunctionName']}", function.get("State"), "Active")
    for mapping in stack.functions.list_event_source_mappings(FunctionName=stack.notify)["EventSourceMappings"]:
        topic = mapping.get("Topics", ["a topic"])[0]
        # A login that the brokers refuse shows here.
        state = eventually(stack.options.wait, lambda: stack.functions.get_event_source_mapping(UUID=mapping["UUID"])["State"], "Enabled")
        check(f"the mapping of {topic} ({mapping.get('LastProcessingResult', 'no result yet')})", state, "Enabled")
        if stack.parameters.get("MinimumPollers", "1") != "0":
            check(f"the mapping of {topic} asks for partial responses", mapping.get("FunctionResponseTypes"), ["ReportBatchItemFailures"])


def a_restock_ends_as_mails(stack):
    everyone = len(stack.shoppers)
    stack.subscribe(stack.product)
    status, count = stack.call("GET", f"/products/{stack.product}/subscriptions/count")
    check("GET the count", (status, count.get("waiting") if isinstance(count, dict) else count), (200, everyone))
    status, _ = stack.call("PUT", f"/products/{stack.product}/stock", {"quantity": 1})
    check("PUT the stock without a signature is refused", status, lambda status: status in (401, 403))
    started = time.monotonic()
    # The way there shows the functions' and the mappings' login at once: restock writes, the mapping reads, notify writes.
    if restock := stack.restock(stack.product):
        told = eventually(stack.options.wait, lambda: stack.told(restock), all_sent(everyone))
        check(f"handed to SES ({time.monotonic() - started:.0f} s after the PUT)", told, all_sent(everyone))


def what_ses_made_of_it(stack):
    def events():
        now = datetime.datetime.now(datetime.UTC)
        seen = set()
        for name in ("Send", "Delivery", "Bounce", "Complaint"):
            points = stack.session.client("cloudwatch").get_metric_statistics(
                Namespace="AWS/SES",
                MetricName=name,
                Dimensions=[{"Name": "ses:configuration-set", "Value": stack.outputs["ConfigurationSetName"]}],
                StartTime=now - datetime.timedelta(minutes=30),
                EndTime=now,
                Period=1800,
                Statistics=["Sum"],
            )["Datapoints"]
            if sum(point["Sum"] for point in points) > 0:
                seen.add(name)
        return seen

    wanted = {"Send", "Delivery", "Bounce", "Complaint"}
    check("SES counted a delivery, a bounce and a complaint", eventually(3 * stack.options.wait, events, wanted), wanted)


def the_link_in_the_mail(stack):
    again = f"{stack.product}-again"
    stack.call("POST", f"/products/{again}/subscriptions", {"email": stack.options.mailbox})
    input(f"Open the email in {stack.options.mailbox}, follow its unsubscribe link, press the button, and then Enter here. ")
    key = stack.subscription(stack.options.mailbox, stack.product)
    found = stack.dynamodb.get_item(TableName=stack.table, Key=key, ConsistentRead=True).get("Item")
    check("the subscription that the email was about is gone", found, None)


@contextlib.contextmanager
def broken(stack):
    """notify with a table that does not exist: every record of it fails, and none because of what is in it."""
    variables = stack.functions.get_function_configuration(FunctionName=stack.notify)["Environment"]["Variables"]

    def set_table(name):
        changed = {"Variables": variables | {"TABLE_NAME": name}}
        stack.functions.update_function_configuration(FunctionName=stack.notify, Environment=changed)
        stack.functions.get_waiter("function_updated_v2").wait(FunctionName=stack.notify)

    try:
        set_table(f"{stack.table}-broken")
        yield
    finally:
        set_table(variables["TABLE_NAME"])


@contextlib.contextmanager
def denied(stack, product):
    """notify without the right to one product's item: that product's records fail, no others, and not because of what is in them."""
    iam, name = stack.session.client("iam"), f"smoke-{stack.run}"
    role = stack.functions.get_function_configuration(FunctionName=stack.notify)["Role"].rsplit("/", 1)[1]
    deny = {
        "Effect": "Deny",
        "Action": "dynamodb:*",
        "Resource": "*",
        "Condition": {"ForAnyValue:StringEquals": {"dynamodb:LeadingKeys": [f"P#{product}"]}},
    }
    policy = {"Version": "2012-10-17", "Statement": [deny]}
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(policy))
    try:
        # IAM says of no policy when it holds everywhere.
        time.sleep(30)
        yield
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName=name)


def failed_records_come_again(stack):
    """A mapping that took a failure for a success would lose the record, and no subscriber would get an email."""
    if stack.parameters.get("MinimumPollers", "1") == "0":
        whole_batches_come_again(stack)
    else:
        single_records_come_again(stack)


def whole_batches_come_again(stack):
    again = f"{stack.product}-again"
    stack.subscribe(again)
    with broken(stack):
        restock = stack.restock(again)
        time.sleep(60)
        check("nothing is sent while notify is broken", stack.told(restock), all_sent(0))
    told = eventually(3 * stack.options.wait, lambda: stack.told(restock), all_sent(len(stack.shoppers)))
    check("the record came again once notify was mended", told, all_sent(len(stack.shoppers)))


def single_records_come_again(stack):
    """A good record before a bad one of its partition, in one batch: the bad one comes again, and the good one only where Lambda does
    not understand the answer and takes the whole batch for failed. notify's log tells how often it came; at LogLevel WARN it is silent.
    """
    good, bad = one_partition(stack.product)
    everyone = len(stack.shoppers)
    for product in (good, bad):
        stack.subscribe(product)
    with denied(stack, bad):
        since = time.time()
        of_good, of_bad = stack.restock_together([good, bad])
        time.sleep(60)
        # What comes behind a record that fails comes again with it, so this can be tried once only.
        logged = stack.logged(since)
        check("one batch had the good record and the bad one (if not, nothing is shown: run it again)", were_together(logged, of_good), True)
        check("the bad record came again", len(failing(logged)), lambda times: times > 1)
        check("the good record came once", len(planning(logged, of_good)), 1)
        check("the good record's shoppers were told", stack.told(of_good), all_sent(everyone))
        check("and no subscriber of the bad one", stack.told(of_bad), all_sent(0))
    told = eventually(3 * stack.options.wait, lambda: stack.told(of_bad), all_sent(everyone))
    check("the bad record came again once it was allowed", told, all_sent(everyone))


def by_request(lines):
    """Log lines by the request id in them; those without one belong to none."""
    requests = {}
    for line in lines:
        if found := re.search(r'requestId"?[:=] ?"?([0-9a-f-]{36})', line):
            requests.setdefault(found[1], []).append(line)
    return requests


def planning(logged, restock):
    """The invocations that worked on a restock's record: the plan of it, or what is said of one that has come before."""
    said = ("planned", "stale: something later is known", "overtaken by a later update")
    return [request for request, lines in logged.items() if any(restock in line and any(text in line for text in said) for line in lines)]


def failing(logged):
    """The invocations that had a record fail."""
    return [request for request, lines in logged.items() if any("will be tried again" in line for line in lines)]


def were_together(logged, restock):
    """Whether an invocation with the good record had the bad one too."""
    return bool(set(planning(logged, restock)) & set(failing(logged)))


def one_partition(prefix):
    """Two products whose records share a partition, however many partitions the topic has, up to 16."""
    multiple_of_all = 720_720
    seen = {}
    for number in itertools.count():
        product = f"{prefix}-{number}"
        other = seen.setdefault(murmur2(product.encode()) % multiple_of_all, product)
        if other != product:
            return other, product


def murmur2(key):
    """The hash by which producers choose a key's partition (Kafka's `Utils.murmur2`, made positive)."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(key)
    whole = len(key) - len(key) % 4
    for at in range(0, whole, 4):
        k = int.from_bytes(key[at : at + 4], "little") * m & mask
        h = (h * m & mask) ^ ((k ^ k >> 24) * m & mask)
    if whole < len(key):
        h = (h ^ int.from_bytes(key[whole:], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return (h ^ h >> 15) & 0x7FFFFFFF


def main():
    stack = Stack(arguments())
    print(f"stack {stack.options.stack}, API {stack.api}, product {stack.product}")
    try:
        what_is_there(stack)
        a_restock_ends_as_mails(stack)
        if stack.options.mailbox:
            the_link_in_the_mail(stack)
        if stack.options.partial_response:
            failed_records_come_again(stack)
        if not stack.options.without_metrics:
            what_ses_made_of_it(stack)
    finally:
        stack.clean_up()
    return verdict("smoke")


if __name__ == "__main__":
    sys.exit(main())

"""infra/smoke: what a deployed stack does with a shopper, a restock, and the addresses of SES's mailbox simulator.

Needs read access to the stack's CloudFormation, Lambda, DynamoDB and CloudWatch, execute-api:Invoke for the stock route
(or --token), dynamodb:DeleteItem to clean up, and lambda:UpdateFunctionConfiguration for --partial-response.
"""

import argparse
import contextlib
import datetime
import json
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
    parser = argparse.ArgumentParser(prog="infra/smoke", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", required=True, metavar="NAME")
    parser.add_argument("--api", metavar="URL", help="the API, where it has a domain of its own (default: the stack's output ApiUrl)")
    parser.add_argument("--token", metavar="JWT", help="for the stock route, where StockAuth=jwt (default: an IAM signature)")
    parser.add_argument("--mailbox", metavar="ADDRESS", help="one more shopper, you: press the link in the mail when asked to")
    parser.add_argument("--partial-response", action="store_true", help="break notify for a minute and see that its records come again")
    parser.add_argument("--without-metrics", action="store_true", help="do not wait for SES's metrics, which take some minutes")
    parser.add_argument("--wait", type=int, default=180, metavar="SECONDS", help="for mails, and for metrics three times that (default: 180)")
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
        for shopper in self.shoppers:
            status, _ = self.call("POST", f"/products/{product}/subscriptions", {"email": shopper})
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

    def clean_up(self):
        products = [self.product, f"{self.product}-again"]
        shards = range(int(self.functions.get_function_configuration(FunctionName=self.notify)["Environment"]["Variables"]["SHARDS"]))
        keys = [f"P#{product}" for product in products] + [f"R#{restock}" for restock in self.restocks]
        keys += [f"W#{product}#{shard}" for product in products for shard in shards]
        gone = 0
        for pk in keys:
            for item in list(self.items(pk)):
                self.dynamodb.delete_item(TableName=self.table, Key={"pk": {"S": pk}, "sk": {"S": item["sk"]}})
                gone += 1
        for shopper in self.shoppers:
            for product in products:
                key = {"pk": {"S": f"S#a:{shopper}"}, "sk": {"S": f"P#{product}"}}
                self.dynamodb.delete_item(TableName=self.table, Key=key)
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
    input(f"Open the mail in {stack.options.mailbox}, follow its unsubscribe link, press the button, and then Enter here. ")
    key = {"pk": {"S": f"S#a:{stack.options.mailbox}"}, "sk": {"S": f"P#{stack.product}"}}
    found = stack.dynamodb.get_item(TableName=stack.table, Key=key, ConsistentRead=True).get("Item")
    check("the subscription that the mail was about is gone", found, None)


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


def failed_records_come_again(stack):
    """A mapping that took a partial response for a success would lose the record, and nobody would be mailed."""
    again = f"{stack.product}-again"
    stack.subscribe(again)
    with broken(stack):
        restock = stack.restock(again)
        time.sleep(60)
        check("nothing is sent while notify is broken", stack.told(restock), all_sent(0))
    told = eventually(3 * stack.options.wait, lambda: stack.told(restock), all_sent(len(stack.shoppers)))
    check("the record came again once notify was mended", told, all_sent(len(stack.shoppers)))


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

"""Checks the IAM policies of CloudFormation templates.

Every policy document is checked by parliament, with intrinsic functions replaced by plausible values and every branch of
Fn::If taken. A wildcard in an allowing statement needs a comment in the lines before it that says why, and an action is
never a wildcard.
"""

import json
import re
import sys

import parliament
from samcli.yamlhelper import yaml_parse

PARAMETERS = {
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::AccountId": "123456789012",
    "AWS::StackName": "notify-me",
    "AWS::URLSuffix": "amazonaws.com",
    "KafkaClusterArn": "arn:aws:kafka:eu-west-1:123456789012:cluster/notify-me/0a1b2c3d-1",
    "KafkaSecretArn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:kafka-AbCdEf",
    "KafkaSecretKmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d",
    "KafkaCaSecretArn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:kafka-ca-AbCdEf",
    "UserTokenSecretArn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:user-tokens-AbCdEf",
    "SenderAddress": "shop@example.com",
    "SenderIdentity": "example.com",
    "FeedbackTopic": "arn:aws:sns:eu-west-1:123456789012:notify-me-feedback",
}
NO_VALUE = object()
ATTRIBUTES = {
    "Table.Arn": "arn:aws:dynamodb:eu-west-1:123456789012:table/notify-me",
    "FeedbackQueue.Arn": "arn:aws:sqs:eu-west-1:123456789012:notify-me-feedback",
    "FeedbackDeadLetterQueue.Arn": "arn:aws:sqs:eu-west-1:123456789012:notify-me-feedback-dlq",
}


def ignored(finding):
    """Whether a finding says nothing about these policies."""
    # Resource "*" where a narrower one exists: `unreasoned_wildcards` asks for the reason, whatever the action.
    if finding.issue == "RESOURCE_STAR":
        return True
    # This documented key of every call from a function is not in parliament's data. No other key is excused: a condition on
    # a key that the action does not carry never matches.
    return finding.issue == "UNKNOWN_CONDITION_FOR_ACTION" and "lambda:SourceFunctionArn" in f"{finding.detail} {finding.location}"


def findings(document):
    return [found for found in parliament.analyze_policy_string(json.dumps(document)).findings if not ignored(found)]


def self_test():
    """Holds the check against a policy that let no email out: SendBulkEmail carries no ses:FromAddress."""
    statement = {
        "Effect": "Allow",
        "Action": "ses:SendBulkEmail",
        "Resource": [f"arn:aws:ses:eu-west-1:123456789012:{what}" for what in ("identity/example.com", "template/*")],
    }
    document = {"Version": "2012-10-17", "Statement": [statement]}
    if findings(document):
        raise SystemExit(f"check_policies: a good statement has findings: {findings(document)}")
    statement["Condition"] = {"StringEquals": {"ses:FromAddress": "shop@example.com"}}
    if not findings(document):
        raise SystemExit("check_policies: a condition on a key that the action does not carry goes unnoticed")


def resolve(node):
    """The node without intrinsic functions; an Fn::If in a list gives both of its branches."""
    if isinstance(node, list):
        out = []
        for item in node:
            if isinstance(item, dict) and list(item) == ["Fn::If"]:
                out += [resolve(branch) for branch in item["Fn::If"][1:]]
            else:
                out.append(resolve(item))
        return [item for item in out if item is not NO_VALUE]
    if not isinstance(node, dict):
        return node
    if len(node) == 1:
        (name, value), = node.items()
        if name == "Ref":
            return NO_VALUE if value == "AWS::NoValue" else PARAMETERS.get(value, value)
        if name == "Fn::GetAtt":
            path = value if isinstance(value, str) else ".".join(value)
            return ATTRIBUTES[path]
        if name == "Fn::Split":
            return resolve(value[1]).split(value[0])
        if name == "Fn::Select":
            return resolve(value[1])[int(value[0])]
        if name == "Fn::Sub":
            text, names = (value, {}) if isinstance(value, str) else value
            names = {key: resolve(part) for key, part in names.items()}
            return re.sub(r"\$\{([^}!]+)\}", lambda m: names.get(m[1]) or resolve({"Ref": m[1]}), text)
        if name.startswith("Fn::"):
            raise SystemExit(f"check_policies: {name} in a policy is not known here")
    return {key: resolve(value) for key, value in node.items()}


def documents(template):
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        for policy in [properties, *properties.get("Policies", [])]:
            if isinstance(policy, dict) and "PolicyDocument" in policy:
                yield name, policy["PolicyDocument"]


def unreasoned_wildcards(path):
    """Lines with a wildcard resource whose statement so far has no comment."""
    lines = open(path, encoding="utf-8").read().splitlines()
    in_policy = False
    for number, line in enumerate(lines):
        if "PolicyDocument:" in line:
            in_policy = True
        elif re.match(r"  \S", line):
            in_policy = False
        code = line.split(" #")[0]
        if line.lstrip().startswith("#") or not in_policy or "*" not in code or not re.search(r'"\*"|[/:]\*', code):
            continue
        statement = []
        for before in reversed(lines[:number]):
            statement.append(before)
            if re.match(r"\s+- (Sid|Effect):", before):
                break
        if not any(text.lstrip().startswith("#") for text in statement):
            yield number + 1, line.strip()


def main(paths):
    self_test()
    problems = 0
    for path in paths:
        checked = 0
        for name, document in documents(yaml_parse(open(path, encoding="utf-8").read())):
            document = resolve(document)
            checked += 1
            for statement in document["Statement"]:
                actions = statement["Action"]
                if any("*" in action for action in ([actions] if isinstance(actions, str) else actions)):
                    print(f"{path}: {name}: a wildcard action: {actions}")
                    problems += 1
            for finding in findings(document):
                print(f"{path}: {name}: {finding}")
                problems += 1
        for number, line in unreasoned_wildcards(path):
            print(f"{path}:{number}: a wildcard without a written reason: {line}")
            problems += 1
        print(f"{path}: {checked} policies checked")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

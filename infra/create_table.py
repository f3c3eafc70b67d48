"""Makes the table of template.yaml on a DynamoDB that answers at an address of one's own."""

import argparse
import pathlib

import boto3
from samcli.yamlhelper import yaml_parse

TEMPLATE = pathlib.Path(__file__).parent.parent / "template.yaml"


def main():
    parser = argparse.ArgumentParser(prog="infra/create-table", description=__doc__)
    parser.add_argument("--endpoint", required=True, metavar="URL", help="such as http://127.0.0.1:8000")
    parser.add_argument("--name", default="notify-me", help="(default: notify-me)")
    options = parser.parse_args()

    table = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))["Resources"]["Table"]["Properties"]
    client = boto3.client(
        "dynamodb",
        endpoint_url=options.endpoint,
        # They are not checked, but the client wants some.
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    try:
        client.create_table(
            TableName=options.name,
            AttributeDefinitions=table["AttributeDefinitions"],
            KeySchema=table["KeySchema"],
            BillingMode=table["BillingMode"],
        )
    except client.exceptions.ResourceInUseException:
        print(f"{options.name} is there")
        return
    client.get_waiter("table_exists").wait(TableName=options.name, WaiterConfig={"Delay": 1})
    client.update_time_to_live(
        TableName=options.name,
        TimeToLiveSpecification=table["TimeToLiveSpecification"],
    )
    print(f"{options.name} is made")


if __name__ == "__main__":
    main()

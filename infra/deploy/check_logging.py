"""Checks that a function's metrics get through Lambda's log filter, whatever LogLevel is.

With JSON logs Lambda takes a line without level and timestamp, which a line of metrics is, for INFO, and drops what is below
ApplicationLogLevel. So that one lets everything pass, and RUST_LOG filters what the functions themselves log.
"""

import sys

from samcli.yamlhelper import yaml_parse


def problems(template):
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    if variables.get("RUST_LOG") != {"Ref": "LogLevel"}:
        yield "RUST_LOG is not LogLevel: nothing filters what the functions log"
    functions = {name: r for name, r in template["Resources"].items() if r["Type"] == "AWS::Serverless::Function"}
    if not functions:
        yield "no functions found"
    for name, function in functions.items():
        logging = function["Properties"].get("LoggingConfig", {})
        if logging.get("ApplicationLogLevel") != "TRACE":
            yield f"{name}: ApplicationLogLevel is not TRACE: Lambda would drop metrics"
        if logging.get("SystemLogLevel") != "INFO":
            yield f"{name}: SystemLogLevel is not INFO: Lambda's reports would be missing"


def main(path):
    found = list(problems(yaml_parse(open(path, encoding="utf-8").read())))
    for problem in found:
        print(f"{path}: {problem}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

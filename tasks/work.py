"""Which function does each kind of stage. Heavy: imported only when there is work to do."""

from tasks.challenge import challenge
from tasks.compress import compress
from tasks.evaluate import evaluate
from tasks.export import export
from tasks.final_test import final_test
from tasks.gate import gate_stage
from tasks.job import StageFunction
from tasks.load import load
from tasks.pull_data import pull_data
from tasks.train_teacher import train_teacher
from tasks.validate_data import validate_data

STAGES: dict[str, StageFunction] = {
    "pull": pull_data,
    "validate": validate_data,
    "teacher": train_teacher,
    "compress": compress,
    "export": export,
    "evaluate": evaluate,
    "gate": gate_stage,
    "challenge": challenge,
    "load": load,
    "final_test": final_test,
}

"""What the README shows works as it stands there."""

import re
from pathlib import Path
from uuid import UUID

import pytest
from typer.testing import CliRunner

from app.cli import app

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def test_its_first_example_sends_with_the_commit_and_only_then(owner, organization: UUID):
    example, _ = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {"organization_id": organization})
    with owner.cursor() as cursor:
        cursor.execute("select count(*) from dramatiq.queue where actor_name = 'draft_reply'")
        assert cursor.fetchone() == (1,)
        failing = example.replace("draft_reply.send(", "1 / 0; draft_reply.send(")
        with pytest.raises(ZeroDivisionError):
            exec(compile(failing, "README.md", "exec"), {"organization_id": organization})
        cursor.execute("select count(*) from tickets")
        assert cursor.fetchone() == (1,)


def test_every_command_it_shows_explains_itself():
    shown = set(re.findall(r"atum ([a-z]+(?: [a-z]+)?)", "\n".join(re.findall(r"\$ (.*)", README))))
    verbs = {verb for verb in shown if verb.split()[0] in ("up", "kb", "tickets", "eval")}
    assert len(verbs) >= 6
    for verb in verbs:
        outcome = CliRunner().invoke(app, [*verb.split(), "--help"])
        assert outcome.exit_code == 0, verb


def test_every_folder_of_its_map_is_there():
    tree = README.split("## The tree")[1].split("```")[1]
    names = re.findall(r"^([a-z_]+(?:/|\.py))", tree, re.MULTILINE)
    assert len(names) >= 7
    assert [name for name in names if not (Path(__file__).parents[2] / name).exists()] == []

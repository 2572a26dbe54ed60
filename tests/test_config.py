import dataclasses
import json
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from mxqvae.config import configuration, from_json, override, to_json, to_tree
from mxqvae.errors import MxqvaeError


@configuration
class Oven:
    """A part of another config."""

    temperature: Annotated[float, Field(gt=0)] = 180.0
    """Degrees."""
    fan: bool = False
    """Whether it blows."""


@configuration
class Cake:
    """A config with all kinds of fields."""

    num_eggs: Annotated[int, Field(ge=1)]
    """Eggs."""
    layers: tuple[int, ...] = (1, 2)
    """Heights."""
    glaze: str | None = None
    """Words on it."""
    oven: Oven | None = Oven()
    """How it is baked."""

    def __post_init__(self) -> None:
        if len(self.layers) > self.num_eggs:
            raise ValueError("more layers than eggs")


@configuration
class Lemon:
    """A filling."""

    name: Literal["lemon"] = "lemon"
    """Tells it from others."""
    zest: int = 1
    """Spoons."""


@configuration
class Cherry:
    """Another filling."""

    name: Literal["cherry"] = "cherry"
    """Tells it from others."""


@configuration
class Pie:
    """A config with a union."""

    filling: Annotated[Lemon | Cherry, Field(discriminator="name")]
    """What is in it."""


CAKE = Cake(num_eggs=3)


class TestDeclaration:
    def test_fields_are_frozen(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            CAKE.num_eggs = 4  # pyright: ignore[reportAttributeAccessIssue]

    def test_fields_have_names(self):
        with pytest.raises(ValidationError):
            Cake(3)  # pyright: ignore[reportCallIssue]

    @pytest.mark.parametrize("wrong", ["3", True, 3.0, 0, None])
    def test_types_and_ranges_are_strict(self, wrong: object):
        with pytest.raises(ValidationError):
            Cake(num_eggs=wrong)  # pyright: ignore[reportArgumentType]

    def test_unknown_fields_are_refused(self):
        with pytest.raises(ValidationError):
            Cake(num_eggs=3, num_egs=3)  # pyright: ignore[reportCallIssue]

    def test_a_changed_copy_is_checked_too(self):
        assert dataclasses.replace(CAKE, num_eggs=5).num_eggs == 5
        with pytest.raises(ValidationError):
            dataclasses.replace(CAKE, num_eggs=1)


class TestJson:
    @pytest.mark.parametrize(
        "cake",
        [
            CAKE,
            Cake(num_eggs=9, layers=(3, 2, 1), glaze="„50“", oven=None),
            Cake(num_eggs=2, layers=(), oven=Oven(temperature=99.5, fan=True)),
        ],
    )
    def test_what_is_written_is_read_back(self, cake: Cake):
        assert from_json(Cake, to_json(cake), "cake.json") == cake
        assert from_json(Cake, to_json(cake).encode(), "cake.json") == cake
        assert json.loads(to_json(cake)) == to_tree(cake)

    def test_fields_left_out_take_their_defaults(self):
        assert from_json(Cake, '{"num_eggs": 3}', "cake.json") == CAKE

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('{"num_eggs": "256"}', "'num_eggs': Input should be a valid integer (got '256')"),
            ('{"num_eggs": true}', "'num_eggs': Input should be a valid integer (got True)"),
            ('{"num_eggs": 1.5}', "'num_eggs': Input should be a valid integer (got 1.5)"),
            ('{"num_eggs": 0}', "'num_eggs': Input should be greater than or equal to 1 (got 0)"),
            ("{}", "key 'num_eggs' is missing; add it"),
            (
                '{"num_eggs": 3, "num_egs": 3}',
                "unknown key 'num_egs'; remove it, or choose from num_eggs, layers, glaze, oven",
            ),
            ('{"num_eggs": 3, "oven": {"fam": true}}', "unknown key 'oven.fam'; remove it"),
            (
                '{"num_eggs": 3, "oven": {"temperature": Infinity}}',
                "'oven.temperature': Input should be a finite number (got inf)",
            ),
            ('{"num_eggs": 3, "oven": 180}', "'oven': Input should be an object (got 180)"),
            ('{"num_eggs": 3, "layers": [1, "2"]}', "'layers.1': Input should be a valid integer (got '2')"),
            ('{"num_eggs": 1}', "more layers than eggs"),
            ("[]", "Input should be an object"),
            ('{"num_eggs": 3', "Invalid JSON: EOF while parsing an object at line 1 column 14; fix it"),
            (b"\xff\x00", "Invalid JSON: expected value at line 1 column 1; fix it"),
        ],
    )
    def test_the_first_problem_is_named_in_one_line(self, text: str | bytes, message: str):
        with pytest.raises(MxqvaeError) as refusal:
            from_json(Cake, text, "cake.json")
        assert str(refusal.value) == f"cake.json: {message}"

    def test_the_members_of_a_union_stay_out_of_the_key(self):
        for text, message in {
            '{"name": "lemon", "zest": "x"}': "'filling.zest': Input should be a valid integer (got 'x')",
            '{"name": "lemon", "peel": 1}': "unknown key 'filling.peel'; remove it",
            '{"zest": 1}': "key 'filling.name' is missing; add it",
        }.items():
            with pytest.raises(MxqvaeError) as refusal:
                from_json(Pie, f'{{"filling": {text}}}', "pie.json")
            assert str(refusal.value) == f"pie.json: {message}"


class TestOverride:
    def test_fields_are_replaced(self):
        changed = override(
            CAKE,
            ["num_eggs=4", "layers=[1, 2, 3]", "glaze=Bon voyage", "oven.temperature=1e2", "oven.fan=true"],
        )
        oven = Oven(temperature=100.0, fan=True)
        assert changed == Cake(num_eggs=4, layers=(1, 2, 3), glaze="Bon voyage", oven=oven)
        assert Cake(num_eggs=3) == CAKE

    def test_nothing_to_replace(self):
        assert override(CAKE, []) == CAKE

    def test_a_part_is_left_out_and_put_back(self):
        without = override(CAKE, ["oven=null"])
        assert without.oven is None
        assert override(without, ['oven={"fan": true}']).oven == Oven(fan=True)

    def test_checks_see_all_changes_at_once(self):
        assert override(CAKE, ["layers=[1, 1, 1, 1]", "num_eggs=4"]).num_eggs == 4

    @pytest.mark.parametrize(
        ("assignment", "message"),
        [
            ("num_eggs", "--set 'num_eggs': write FIELD=VALUE, for example num_steps=100"),
            (
                "num_egs=4",
                "--set num_egs: no such field; choose from "
                "num_eggs, layers, glaze, oven.temperature, oven.fan",
            ),
            ("oven.fam=true", "--set oven.fam: no such field; choose from num_eggs"),
            ("num_eggs.size=4", "--set num_eggs.size: no such field; choose from num_eggs"),
            ("=4", "--set : no such field"),
            ("num_eggs=many", "--set: 'num_eggs': Input should be a valid integer (got 'many')"),
            ("num_eggs=1e3", "--set: 'num_eggs': Input should be a valid integer (got 1000.0)"),
            ("num_eggs=true", "--set: 'num_eggs': Input should be a valid integer (got True)"),
            ("num_eggs=0", "--set: 'num_eggs': Input should be greater than or equal to 1 (got 0)"),
            ("oven.temperature=NaN", "--set: 'oven.temperature': Input should be a finite number (got nan)"),
            ("num_eggs=1", "--set: more layers than eggs"),
        ],
    )
    def test_a_bad_assignment_is_named(self, assignment: str, message: str):
        with pytest.raises(MxqvaeError) as refusal:
            override(CAKE, [assignment])
        assert str(refusal.value).startswith(message)
        assert "\n" not in str(refusal.value)

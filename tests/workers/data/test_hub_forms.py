"""Public data sets in their real columns: read as an annotator reads them, or refused in words."""

import pytest

from tests.workers.data.hub_forms import FORMS, save_form
from workers.data.read_table import read_split
from workers.sources import DataSource


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_read_as_an_annotator_would(name, tmp_path, monkeypatch):
    form = FORMS[name]
    monkeypatch.setattr("workers.data.read_table.CARVED", {})
    source = DataSource(name=save_form(tmp_path, form), **form.told)
    if isinstance(form.want, str):
        with pytest.raises(ValueError, match=form.want) as refusal:
            read_split(source, "train")
        assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 700
        return
    data = read_split(source, "train")
    assert [(each.question, each.answers[0], len(each.images)) for each in data.samples] == list(form.want)
    assert not {"nan", ""} & {choice for each in data.samples for choice in each.choices}

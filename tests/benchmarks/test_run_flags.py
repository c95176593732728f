import pytest

from tests.benchmarks import development, mean_image, one_labelled_kind, steadiness, waiting

TOOLS = (development, mean_image, one_labelled_kind, steadiness, waiting)


@pytest.mark.parametrize("tool", TOOLS)
def test_tools_with_the_flags_of_a_run_explain_themselves(tool, capsys):
    with pytest.raises(SystemExit) as end:
        tool.main(["--help"])
    assert end.value.code == 0
    assert tool.__doc__ in capsys.readouterr().out


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("wrong", ["--epocs=3", "--gamma=7"])
def test_a_wrong_flag_of_a_tool_is_one_sentence(tool, wrong, capsys):
    with pytest.raises(SystemExit) as end:
        tool.main([wrong, *(["--classes=0"] if tool is development else [])])
    assert end.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1

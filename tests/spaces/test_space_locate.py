import pytest

from ecoautoml.errors import SpaceError
from ecoautoml.spaces import find_space, list_spaces, load_space


def test_shipped_spaces_have_their_file_name_and_a_description():
    spaces = list_spaces()
    assert {"mobilenet_v3", "efficientnet", "tiny", "timm_zoo"} <= set(spaces)
    for name, description in spaces.items():
        assert load_space(name).name == name
        assert load_space(name).description == description.strip()
        assert 10 < len(description) < 120


def test_a_path_is_found_before_a_name(tmp_path, monkeypatch):
    (tmp_path / "tiny").write_text("")
    monkeypatch.chdir(tmp_path)
    assert find_space("tiny").resolve() == (tmp_path / "tiny").resolve()


def test_unknown_name_lists_the_nearest():
    with pytest.raises(SpaceError, match=r"called 'tinny'; did you mean 'tiny'.*mobilenet_v3"):
        find_space("tinny")


def test_missing_file_names_the_files_beside_it(tmp_path):
    (tmp_path / "mine.yaml").write_text("")
    with pytest.raises(SpaceError, match=r"no such file; did you mean 'mine\.yaml'"):
        find_space(tmp_path / "mina.yaml")
    with pytest.raises(SpaceError, match="holds no YAML file"):
        find_space(tmp_path / "nowhere" / "mina.yaml")

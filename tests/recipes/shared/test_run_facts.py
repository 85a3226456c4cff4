"""What a run tells of itself at its end."""

from palmjax.recipes.shared import run_facts


def test_a_finished_run_tells_its_result_and_where_the_report_lies(
  tmp_path, capsys
):
  run_facts.announce(tmp_path, 'EER 3 % in this run.')
  assert capsys.readouterr().out == (
    f'Done. EER 3 % in this run. Report: {tmp_path}/report.html\n'
  )


def test_small_tests_are_called_small():
  assert run_facts.caution(30, 'identities') == ''
  assert 'Only 12 images were tested' in run_facts.caution(12, 'images')

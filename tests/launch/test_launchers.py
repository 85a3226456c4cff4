"""Scripts that start a run on one machine, SLURM, TPU hosts and GKE."""

import os
import pathlib
import shlex
import subprocess

import jsonschema
import kubernetes_validate
import pytest
import yaml

from palmjax import main
from tests.engine import process_group
from tests.launch import jobset_schema

ROOT = pathlib.Path(__file__).parents[2]
LAUNCH = ROOT / 'launch'
SCRIPTS = sorted(LAUNCH.glob('*.sh'))
# What a user adds; the quotes must survive each shell on the way.
_WORDS = ['--config=metric:smoke', "--workdir=runs/a b'c"]


def dry_run(script, *words, **environment):
  """What a script would run, a list of words a line."""
  result = subprocess.run(
    ['bash', LAUNCH / script, '--dry-run', *words],
    capture_output=True,
    text=True,
    env=os.environ | environment,
  )
  assert result.returncode == 0, result.stderr
  return sorted(result.stdout.splitlines())


def test_there_is_one_script_for_each_place():
  assert [path.name for path in SCRIPTS] == [
    'gpu.sh',
    'local.sh',
    'slurm.sh',
    'tpu_vm.sh',
  ]


@pytest.mark.parametrize('path', SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_sound_and_short(path):
  assert 10 <= len(path.read_text().splitlines()) <= 30
  assert os.access(path, os.X_OK)
  checked = subprocess.run(['shellcheck', path], capture_output=True, text=True)
  assert checked.returncode == 0, checked.stdout


def test_locally_one_process_gets_the_words_of_the_user():
  [line] = dry_run('local.sh', *_WORDS)
  assert line == ' '.join(['python -m palmjax.main', *_WORDS])


def test_locally_several_processes_share_a_coordinator():
  lines = dry_run('local.sh', '--config=ssl', PROCESSES='2', PORT='7')
  assert lines == [
    f'python -m palmjax.main --config=ssl --process={process} --processes=2 '
    '--coordinator=localhost:7'
    for process in (0, 1)
  ]


def test_slurm_starts_the_same_command_in_each_task():
  [line] = dry_run('slurm.sh', *_WORDS)
  assert line == ' '.join(
    ['srun --kill-on-bad-exit=1 python -m palmjax.main', *_WORDS]
  )
  text = (LAUNCH / 'slurm.sh').read_text()
  commands = [x for x in text.splitlines() if x and not x.startswith('#')]
  assert text.index('#SBATCH') < text.index(commands[0])


def test_on_tpu_hosts_each_word_arrives_as_it_was_given():
  [line] = dry_run('tpu_vm.sh', 'slice', 'us-east1-d', *_WORDS)
  start, command = line.split(' --command=')
  assert start == (
    'gcloud compute tpus tpu-vm ssh slice --zone=us-east1-d --worker=all'
  )
  assert shlex.split(command) == [
    *['python3', '-m', 'palmjax.main'],
    *_WORDS,
    '--processes=auto',
  ]


def job_set():
  return yaml.safe_load((LAUNCH / 'gke.yaml').read_text())


def test_the_job_of_gke_fits_the_schema_of_kubernetes():
  text = (LAUNCH / 'gke.yaml').read_text()
  assert 10 <= len(text.splitlines()) <= 30
  # JobSet adds names and restarts; the jobs in it are Kubernetes's own.
  [hosts] = job_set()['spec']['replicatedJobs']
  job = {
    'apiVersion': 'batch/v1',
    'kind': 'Job',
    'metadata': {'name': hosts['name']},
    **hosts['template'],
  }
  kubernetes_validate.validate(job, '1.31', strict=True)
  job['spec']['completion'] = 2
  with pytest.raises(Exception, match='completion'):
    kubernetes_validate.validate(job, '1.31', strict=True)


def test_the_set_of_gke_fits_the_schema_of_jobset():
  jsonschema.Draft202012Validator.check_schema(jobset_schema.JOB_SET)
  jsonschema.validate(job_set(), jobset_schema.JOB_SET)


def misspelt(at):
  """The set with another name of a field: '…/maxRestarts' + 's'."""
  manifest = job_set()
  *parents, last = at
  inner = manifest
  for part in parents:
    inner = inner[part]
  inner[last + 's'] = inner.pop(last)
  return manifest


@pytest.mark.parametrize(
  'at',
  [
    ('apiVersion',),
    ('metadata', 'name'),
    ('spec', 'failurePolicy'),
    ('spec', 'failurePolicy', 'maxRestarts'),
    ('spec', 'replicatedJobs'),
    ('spec', 'replicatedJobs', 0, 'name'),
    ('spec', 'replicatedJobs', 0, 'template'),
    ('spec', 'replicatedJobs', 0, 'template', 'spec'),
  ],
  ids=lambda at: '.'.join(map(str, at)),
)
def test_a_misspelt_field_of_the_set_is_refused(at):
  with pytest.raises(jsonschema.ValidationError, match=f"'{at[-1]}s'"):
    jsonschema.validate(misspelt(at), jobset_schema.JOB_SET)


@pytest.mark.parametrize(
  'change, error',
  [
    ({'failurePolicy': {'maxRestarts': '3'}}, "'3' is not of type 'integer'"),
    ({'failurePolicy': {'restartStrategy': 'Never'}}, "'Never' is not one of"),
    ({'successPolicy': {}}, "'operator' is a required property"),
    ({'replicatedJobs': []}, 'non-empty'),
    ({'replicatedJobs': [{'name': 'hosts'}]}, "'template' is a required"),
    ({'network': {'subdomain': 'Palm Jax'}}, 'does not match'),
    ({'coordinator': {'podIndex': 0}}, "'replicatedJob' is a required"),
  ],
)
def test_a_wrong_value_of_the_set_is_refused(change, error):
  manifest = job_set()
  manifest['spec'].update(change)
  with pytest.raises(jsonschema.ValidationError, match=error):
    jsonschema.validate(manifest, jobset_schema.JOB_SET)


def test_the_processes_of_gke_find_each_other(monkeypatch):
  manifest = job_set()
  [hosts] = manifest['spec']['replicatedJobs']
  job = hosts['template']['spec']
  [container] = job['template']['spec']['containers']
  assert container['command'][:3] == ['python', '-m', 'palmjax.main']
  words = [*container['command'][3:], *container['args']]
  options = dict(word.split('=') for word in words)
  # Names that JobSet gives: SET-JOBS-NUMBER-POD.SET, and 0 is the first.
  name = manifest['metadata']['name']
  assert options['--coordinator'].startswith(
    f'{name}-{hosts["name"]}-0-0.{name}:'
  )
  assert int(options['--processes']) == job['completions'] == job['parallelism']
  assert options['--process'] == '$(JOB_COMPLETION_INDEX)'
  joined = {}
  monkeypatch.setattr(
    main.processes, 'start', lambda *given, **options: joined.update({1: given})
  )
  monkeypatch.setattr(main, 'RECIPES', {'metric': lambda config, workdir: None})
  words[-1] = words[-1].replace('$(JOB_COMPLETION_INDEX)', '1')
  assert main.main(words) == 0
  assert joined[1] == (options['--coordinator'], 2, 1)


@pytest.mark.slow
def test_slurm_is_found_by_itself(tmp_path):
  # JAX takes the port from the number of the job.
  job = process_group.free_port() % 2**12
  program = ROOT / 'tests/engine/processes_program.py'
  started = []
  for process in ('0', '1'):
    started += process_group.start(
      [program, tmp_path, 'num_steps=2'],
      1,
      environment={
        'SLURM_JOB_ID': str(job),
        'SLURM_NTASKS': '2',
        'SLURM_PROCID': process,
        'SLURM_LOCALID': process,
        'SLURM_STEP_NODELIST': 'localhost',
        'SLURM_STEP_NUM_NODES': '1',
      },
    )
  results = process_group.finish(started)
  for code, _, errors in results:
    assert code == 0, errors[-3000:]
  assert [
    "'process': 0" in output and 'begins at 0' in output
    for _, output, _ in results
  ] == [True, True]
  assert ['loss' in output for _, output, _ in results] == [True, False]

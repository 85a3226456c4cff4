"""What reports of the recipe `robust` share, of hands and of palms."""

from palmjax.engine import logs
from palmjax.recipes.robust import attack_report, training_report
from palmjax.recipes.robust import scores as robust_scores
from palmjax.recipes.shared import run_facts
from palmjax.report import html, metrics


def write(
  run,
  results,
  tables,
  *,
  title,
  headline,
  summary,
  skipped,
  highlights,
  sections,
):
  """Writes run.json and report.html into the workdir, and says so.

  Args:
    run: with `config` and `workdir`.
    results: what metrics.json holds.
    tables: `robust_scores.AttackTable`s, one a test.
    title: words between the recipe's name and the seed.
    headline: sentence that stands first.
    summary: sentences below it.
    skipped: names of the images that could not be read.
    highlights: list of `html.Highlight`, those of the task.
    sections: iterable of parts of the report, those of the task. The parts on
      the training, the attacks and the run follow them.
  """
  config, names = run.config, arms(results)
  masked = [
    sentence
    for table in tables
    for arm in names
    for sentence in robust_scores.warnings(
      table, arm, config.attack.radii, config.attack.queries
    )
  ]
  rows = logs.read(run.workdir / 'metrics.jsonl')
  facts = run_facts.write(
    run.workdir,
    skipped=skipped,
    warnings=[*training_report.unconverged(rows, names), *masked],
  )
  html.write(
    run.workdir / 'report.html',
    title=f'palmjax · {title} · seed {config.seed}',
    headline=headline,
    summary=summary,
    highlights=[
      *highlights,
      html.Highlight(
        'Time',
        run_facts.minutes(sum(facts['seconds'].values())),
        'training and attacks',
      ),
    ],
    sections=[
      *sections,
      training_report.curves(rows, names, config),
      *training_report.plans(rows, names),
      run_facts.endings(results['ended']),
      attack_report.masked_gradients(masked, config.attack.queries),
      html.Values('Configuration', config.to_dict()),
      html.Values('Run', facts),
    ],
  )
  run_facts.announce(run.workdir, headline)


def arms(results):
  """Names of the arms that metrics.json holds, in the order of the reports."""
  return [arm for arm in training_report.NAMES if arm in results['ended']]


def change(title, clean, attacked, text):
  """`html.Highlight` of a rate and of what an attack makes of it.

  Args:
    title: of the rate and its arm.
    clean, attacked: cells of metrics.json.
    text: what was done.
  """
  values = []
  for cell in (clean, attacked):
    value, _, reason = metrics.parts(cell, unit='%', digits=1)
    values.append(value or reason)
  return html.Highlight(title, ' → '.join(values), text)

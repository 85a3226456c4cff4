"""Rules that end a training: "until convergence" as pure functions.

A rule is a plain value. What it remembers is a small dict of NumPy scalars that
lies in the checkpoint: a run that is killed and resumed ends where an
undisturbed one ends, for the same reason.

  Plateau    no improvement of a held-out measure by δ in `patience` evaluations
  Threshold  the mean of a training metric over an epoch is at most a value

A loop that knows no rule is ended by its last step: 'cap'.
"""

import dataclasses

import numpy as np

# Why a training ended. A checkpoint holds the place in this tuple; at the first
# place the training goes on.
REASONS = ('', 'converged', 'threshold', 'cap')


@dataclasses.dataclass(frozen=True)
class Plateau:
  """Early stopping: no improvement in `patience` evaluations.

  Attributes:
    metric: name among the metrics of the evaluations.
    delta: an improvement is larger than this; 0: any.
    patience: evaluations in a row without an improvement that end it.
    mode: 'min' where lower is better, 'max' where higher is.
  """

  metric: str
  delta: float = 0.0
  patience: int = 3
  mode: str = 'min'
  reason = 'converged'
  reads_evaluations = True

  def __post_init__(self):
    if self.mode not in ('min', 'max'):
      raise ValueError(f'mode={self.mode}: choose min or max')
    if not self.delta >= 0:
      raise ValueError(f'delta={self.delta}: give 0 or more')
    if self.patience < 1:
      raise ValueError(f'patience={self.patience}: give 1 or more')

  def create(self):
    """Returns the rule's state before the first evaluation."""
    return {'best': np.array(np.inf, np.float32), 'stale': np.array(0)}

  def due(self, step):
    """Whether the metrics of the steps before `step` can end the training."""
    del step
    return False

  def train(self, memory, step, metrics):
    """Returns `memory` as it is: this rule does not use training steps."""
    del step, metrics
    return memory

  def evaluate(self, memory, metrics):
    """Returns the rule's state after an evaluation.

    Args:
      memory: of `create` or of the evaluation before.
      metrics: {name: float, or None where nothing could be measured}.

    Raises:
      ValueError: the evaluation has no such metric.
    """
    value = _value(metrics, self.metric, 'evaluation')
    if value is None:
      return memory
    value = np.array(value if self.mode == 'min' else -value, np.float32)
    # Nothing to beat yet: the first value counts, whatever it is.
    if np.isinf(memory['best']) or value < memory['best'] - self.delta:
      return {'best': value, 'stale': np.array(0)}
    return {**memory, 'stale': memory['stale'] + np.array(1)}

  def ended(self, memory):
    """Whether the training is over."""
    return bool(memory['stale'] >= self.patience)


@dataclasses.dataclass(frozen=True)
class Threshold:
  """Stops training when an epoch's mean of a metric is at most `value`.

  Of a target loss: converged (CN112215298A, claim 6).

  Attributes:
    metric: name among the metrics of the steps.
    value: the mean is at most this.
    epoch_steps: steps of an epoch; epochs begin at multiples of it.
  """

  metric: str
  value: float
  epoch_steps: int
  reason = 'threshold'
  reads_evaluations = False

  def __post_init__(self):
    if self.epoch_steps < 1:
      raise ValueError(f'epoch_steps={self.epoch_steps}: give 1 or more')

  def create(self):
    """Returns the rule's state before the first step."""
    return {
      'total': np.array(0, np.float32),
      'count': np.array(0),
      'met': np.array(False),
    }

  def due(self, step):
    """Whether the metrics of the steps before `step` can end the training."""
    return step % self.epoch_steps == 0

  def train(self, memory, step, metrics):
    """Returns the rule's state after a training step.

    Args:
      memory: of `create` or of the step before.
      step: finished steps, this one included.
      metrics: {name: float}; a step that lacks the metric is not counted.

    Raises:
      ValueError: no step of an epoch had the metric.
    """
    total, count = memory['total'], memory['count']
    if self.metric in metrics:
      total = np.array(total + np.float32(metrics[self.metric]), np.float32)
      count = np.array(count + 1)
    if step % self.epoch_steps:
      return {**memory, 'total': total, 'count': count}
    if not count:
      _value(metrics, self.metric, 'training')
    met = np.array(bool(total / count <= self.value))
    return {**self.create(), 'met': met}

  def evaluate(self, memory, metrics):
    """Returns `memory` as it is: this rule does not use evaluations."""
    del metrics
    return memory

  def ended(self, memory):
    """Whether the training is over."""
    return bool(memory['met'])


def reason(rules, memories):
  """Returns the reason of the first rule that ended the training, or ''.

  Args:
    rules: `Plateau`s and `Threshold`s.
    memories: one of each rule.
  """
  for rule, memory in zip(rules, memories, strict=True):
    if rule.ended(memory):
      return rule.reason
  return ''


def _value(metrics, name, kind):
  if name not in metrics:
    raise ValueError(
      f"a stop rule reads '{name}', which the {kind} does not give: choose one "
      f'of {", ".join(sorted(metrics)) or "nothing"}'
    )
  return metrics[name]

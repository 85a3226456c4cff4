"""JobSet v1alpha2 as a JSON schema: what `launch/gke.yaml` may say.

Written from the public types of the API: `api/jobset/v1alpha2/jobset_types.go`
of https://github.com/kubernetes-sigs/jobset at commit 0336a8f. A field without
'omitempty' is required. The page https://jobset.sigs.k8s.io/docs/reference/ is
made from these types. It calls more fields required.

Two fields are left out: `volumeClaimPolicies`, as we claim no volumes, and
`status`, which the controller writes. `metadata` has names, labels and
annotations only. The template of a job is Kubernetes's own; its `spec` is
checked elsewhere.
"""

_TEXT = {'type': 'string', 'minLength': 1}
# A label of RFC 1123, as names of jobs, pods and hosts must be.
_NAME = {
  'type': 'string',
  'maxLength': 63,
  'pattern': '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$',
}
_COUNT = {'type': 'integer', 'minimum': 0, 'maximum': 2**31 - 1}
_FLAG = {'type': 'boolean'}
_NOTES = {'type': 'object', 'additionalProperties': {'type': 'string'}}


def _object(required, **optional):
  """A schema of an object with these fields and no others."""
  return {
    'type': 'object',
    'properties': required | optional,
    'required': list(required),
    'additionalProperties': False,
  }


def _list(items):
  return {'type': 'array', 'items': items}


_RULE = _object(
  {
    'name': {
      'type': 'string',
      'pattern': '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$',
    },
    'action': {
      'enum': [
        'FailJobSet',
        'RestartJobSet',
        'RestartJobSetAndIgnoreMaxRestarts',
        'RestartJob',
        'RestartJobAndIgnoreMaxRestarts',
      ]
    },
  },
  onJobFailureReasons=_list(_TEXT) | {'uniqueItems': True},
  onJobFailureMessagePatterns=_list(_TEXT) | {'uniqueItems': True},
  targetReplicatedJobs=_list(_NAME),
)
_JOBS = _object(
  {
    'name': _NAME,
    'template': _object({'spec': {'type': 'object'}}, metadata={}),
  },
  groupName=_NAME,
  replicas=_COUNT,
  dependsOn=_list(
    _object({'name': _NAME, 'status': {'enum': ['Ready', 'Complete']}})
  )
  | {'maxItems': 5},
)
_SPEC = _object(
  # The types call for none; a set without jobs would do nothing.
  {'replicatedJobs': _list(_JOBS) | {'minItems': 1}},
  network=_object(
    {},
    enableDNSHostnames=_FLAG,
    subdomain=_NAME,
    publishNotReadyAddresses=_FLAG,
  ),
  successPolicy=_object(
    {'operator': {'enum': ['All', 'Any']}}, targetReplicatedJobs=_list(_NAME)
  ),
  failurePolicy=_object(
    {},
    maxRestarts=_COUNT,
    restartStrategy={
      'enum': ['Recreate', 'BlockingRecreate', 'InPlaceRestart']
    },
    rules=_list(_RULE),
  ),
  startupPolicy=_object(
    {'startupPolicyOrder': {'enum': ['AnyOrder', 'InOrder']}}
  ),
  suspend=_FLAG,
  coordinator=_object(
    {'replicatedJob': _NAME}, jobIndex=_COUNT, podIndex=_COUNT
  ),
  managedBy=_TEXT | {'maxLength': 63},
  ttlSecondsAfterFinished=_COUNT,
)
JOB_SET = _object(
  {
    'apiVersion': {'const': 'jobset.x-k8s.io/v1alpha2'},
    'kind': {'const': 'JobSet'},
    'metadata': _object(
      {'name': _NAME}, namespace=_NAME, labels=_NOTES, annotations=_NOTES
    ),
    'spec': _SPEC,
  }
)

"""Tags by which a run and its versions say what they come from, and what came of them, to the bit.

All of them can be searched for: `tags."distrain.data.sha256" = '...'` finds the runs and the
versions of a dataset.
"""

from typing import Final

DATA_TAG: Final = "distrain.data.sha256"
INIT_ANEW_TAG: Final = "distrain.init.anew"
INIT_SHA256_TAG: Final = "distrain.init.sha256"
INIT_TAG: Final = "distrain.init"
LINEAGE_TAG: Final = "distrain.lineage.sha256"
MODEL_ARGS_TAG: Final = "distrain.model.args.sha256"
ORDER_TAG: Final = "distrain.order.sha256"
RUN_TAG: Final = "distrain.run"
STEPS_TAG: Final = "distrain.steps"
WEIGHTS_TAG: Final = "distrain.weights_sha256"
REPRODUCED_TAG: Final = "distrain.reproduced"
KIND_TAG: Final = "distrain.kind"
JOB_TAG: Final = "distrain.job"
SWEEP_TAG: Final = "distrain.sweep"
TRIAL_TAG: Final = "distrain.trial"
SETTING_TAG: Final = "distrain.setting"
WINNER_TAG: Final = "distrain.winner"

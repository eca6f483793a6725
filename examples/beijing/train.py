"""Beijing's air an hour ahead: lagged columns made with pandas, and a network that beats waiting.

python examples/beijing/train.py [section.key=value ...]
"""

import os
import sys
from pathlib import Path

import pandas as pd

import distrain

HERE = Path(__file__).parent
DATA = Path(os.environ.get("DISTRAIN_DATA", HERE.parent / "data")) / "beijing-pm25"
LAGS = (2, 3, 4, 6, 9, 12, 18, 24, 48)
WEATHER = ["DEWP", "TEMP", "PRES", "cbwd", "Iws", "Is", "Ir"]


def lagged(raw: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each hour: what was known an hour before, and how much PM2.5 changed."""
    pm = raw["pm2.5"]
    before = pm.shift(1)
    weather = raw[WEATHER].shift(1)
    columns = {
        "time": pd.to_datetime(raw[["year", "month", "day", "hour"]]),
        "before": before,
        **{f"change since {lag} h": before - pm.shift(lag) for lag in LAGS},
        **{f"mean of {hours} h": before.rolling(hours, min_periods=1).mean() for hours in (6, 24)},
        **{name: weather[name] for name in WEATHER},
        **{
            f"{name} in 3 h": weather[name] - raw[name].shift(4)
            for name in ("DEWP", "TEMP", "PRES")
        },
        "change": pm - before,
    }
    return pd.DataFrame(columns).dropna(subset=["change"])


hours = lagged(pd.read_csv(DATA / "pollution.csv"))
is_of_2014 = hours["time"] >= "2014-01-01"
how = {
    "features": {"time": "calendar", "before": {"scale": "log"}},
    "split": {
        "kind": "time",
        "column": "time",
        "validation": 0.15,
        "test": float(is_of_2014.mean()),
    },
}

result = distrain.train(
    {"name": "beijing", "seed": 7, "data": how},
    sys.argv[1:],
    data=hours,
    target="change",
    model={"name": "mlp", "hidden": [64, 64], "dropout": 0.1},
    train={
        "epochs": 10,
        "global_batch_size": 256,
        "optimizer": {"lr": 1e-3, "weight_decay": 0.05},
        "lr_schedule": {"name": "cosine"},
    },
    evaluate={"goals": {"test/rmse": "<= 21.5"}},
    show=True,
)
if result.error is not None:
    raise result.error
waiting = (hours.loc[is_of_2014, "change"] ** 2).mean() ** 0.5
print(f"finished: RMSE {result.metrics['test/rmse']:.2f}")
print(f"the last hour's value: {waiting:.2f}")
print(f"weights {result.weights_sha256}")

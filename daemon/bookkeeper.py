"""Tells of a budget that runs out, of a machine that idles, and of a trainer that falls silent."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

from core.rules.alerting import notice
from core.rules.costing import RunCost, account, budget_news, idle_news, price_of, silence_news
from core.settings import Settings
from core.store import costs
from core.store.database import Connection, Database, Row, rows, run
from daemon.telling import tell


@dataclass(kw_only=True)
class Bookkeeper:
    """Reads times and prices; writes alerts."""

    database: Database
    settings: Settings

    def look(self) -> None:
        """Look at the latest runs of this machine, and tell what is new."""
        mine = self.settings
        with self.database.transaction() as connection:
            run(
                connection,
                "costs.fill",
                host=mine.host_name,
                price=mine.price_per_hour,
                budget=mine.budget,
                gpu_name=mine.gpu_name or None,
            )
            watched = rows(connection, "costs.watched", host=mine.host_name)
            for number, each in enumerate(watched):
                cost = cost_of(connection, each["id"], mine)
                if cost is not None:
                    self._tell_of_budget(connection, each, cost)
                    if number == 0:  # the run that was here last
                        self._tell_of_quiet(connection, each, cost)

    def _tell_of_budget(self, connection: Connection, about: Row, cost: RunCost) -> None:
        news = budget_news(cost)
        if news is not None and about["status"] == "in_progress":
            mark, words = news
            title = "the budget is spent" if mark == "100" else f"{mark} % of the budget is spent"
            told = f"{cost.budget:.4f}/{mark}"  # of this budget: of a raised one it is told again
            tell(connection, about["id"], _event("budget", told, title, words, about))

    def _tell_of_quiet(self, connection: Connection, about: Row, cost: RunCost) -> None:
        """Tell once of a machine that idles at a price, or of a trainer that is not heard of."""
        lengths = [each.training for each in cost.epochs if each.training is not None]
        usual = median(lengths) if lengths else None
        price = cost.price or price_of(self.settings.price_per_hour, self.settings.gpu_name)
        last, now = about["last_activity"], about["now"]
        since = f"{last:%Y%m%dT%H%M%S}" if last is not None else ""
        words = None if about["is_training"] else idle_news(last, now, price, usual=usual)
        if words is not None:
            title = "the machine idles and costs money"
            tell(connection, about["id"], _event("idle", since, title, words, about))
        elif about["status"] == "in_progress":
            words = silence_news(last, now, usual=usual)
            if words is not None:
                title = "no checkpoint for long"
                tell(connection, about["id"], _event("silent", since, title, words, about))


def cost_of(connection: Connection, run_id: int, settings: Settings) -> RunCost | None:
    """Return a run's cost at its own price, else that of the settings; None without such a run."""
    found = costs.run_costs(connection, run_id)
    if found is None:
        return None
    about = dict(found.about)
    if about["price_per_hour"] is None and about["gpu_name"] is None:
        about["price_per_hour"] = settings.price_per_hour
        about["gpu_name"] = settings.gpu_name or None
    return account(about, found.saves, found.drawn, storage_price=settings.storage_price)


def _event(kind: Any, about: str, title: str, body: str, run_row: Row) -> Any:
    return notice(
        kind,
        about,
        title=title,
        body=body,
        run_name=run_row["run_name"],
        run_id=run_row["id"],
    )

"""The figures of a page in a browser, and their controls."""

from __future__ import annotations

from report.waiting import until


def matrix_of(page, number=0):
    """Return the values and the texts of a matrix."""
    figure = page.locator("figure.chart").nth(number)
    figure.scroll_into_view_if_needed()
    until(
        page,
        "n => document.querySelectorAll('figure.chart')[n].querySelector('.plot').data",
        number,
    )
    return figure.locator(".plot").first.evaluate("plot => [plot.data[0].z, plot.data[0].text]")


def choose(page, number, label, text):
    """Choose a text in a list of a figure."""
    figure = page.locator("figure.chart").nth(number)
    figure.get_by_label(label, exact=True).select_option(label=text)


def chart_number(page, heading):
    return page.evaluate(
        """heading => [...document.querySelectorAll('figure.chart')].findIndex(
            (each) => each.querySelector('h3')?.textContent === heading)""",
        heading,
    )

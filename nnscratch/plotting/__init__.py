"""Plots. Every function draws into ``ax=``, or into a new figure, and returns the Matplotlib axes."""

from .attention import plot_attention
from .coloured_text import plot_text
from .confusion import plot_confusion_matrix
from .decision_boundary import plot_decision_boundary
from .filters import plot_filters
from .gates import lstm_gates, plot_gates
from .gradient_flow import plot_gradient_flow
from .histograms import plot_histograms
from .history import plot_history
from .search import plot_search
from .style import BLUE, GREEN, GREY, ORANGE, new_axes, save_figure, use_style
from .surface import plot_paths

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "lstm_gates",
    "new_axes",
    "plot_attention",
    "plot_confusion_matrix",
    "plot_decision_boundary",
    "plot_filters",
    "plot_gates",
    "plot_gradient_flow",
    "plot_histograms",
    "plot_history",
    "plot_paths",
    "plot_search",
    "plot_text",
    "save_figure",
    "use_style",
]

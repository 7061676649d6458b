"""Plots and animations. A function ``plot_...`` draws into ``ax=`` or into a new figure, and returns the axes.

A function ``animate_...`` returns an :class:`Animation`.
"""

from .animate_attention import animate_attention
from .animate_backpropagation import animate_backpropagation
from .animate_convolution import animate_convolution
from .animate_descent import animate_descent
from .animate_gradient_path import animate_gradient_path
from .animation import Animation
from .attention import plot_attention
from .attributions import plot_attributions, plot_contributions
from .coloured_text import plot_text
from .confusion import plot_confusion_matrix
from .decision_boundary import plot_decision_boundary
from .filters import plot_filters
from .gates import lstm_gates, plot_gates
from .gradient_flow import plot_gradient_flow
from .histograms import plot_histograms
from .history import plot_history
from .live import LivePlot
from .network import draw_network
from .search import plot_search
from .style import BLUE, GREEN, GREY, ORANGE, new_axes, save_figure, use_style
from .surface import plot_paths

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "LivePlot",
    "Animation",
    "animate_attention",
    "animate_backpropagation",
    "animate_convolution",
    "animate_descent",
    "animate_gradient_path",
    "draw_network",
    "lstm_gates",
    "new_axes",
    "plot_attention",
    "plot_attributions",
    "plot_confusion_matrix",
    "plot_contributions",
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

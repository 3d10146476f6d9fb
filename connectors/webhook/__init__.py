"""Webhooks, signed as Standard Webhooks asks."""

from connectors.webhook.config import WebhookConfig
from connectors.webhook.connector import Webhook

__all__ = ["Webhook", "WebhookConfig"]

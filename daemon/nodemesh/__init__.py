"""Who carries events between nodes? A daemon that keeps them on disk until every consumer has handled them."""

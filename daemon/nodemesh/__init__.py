"""Who carries events between nodes? A daemon that keeps them until every consumer has handled them."""

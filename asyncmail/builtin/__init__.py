"""The plugins that come with asyncmail, found through the same door as everybody else's."""

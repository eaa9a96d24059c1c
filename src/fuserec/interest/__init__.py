"""Interest: a fitted model and a user → what he likes, by topic, look and sound, with the items that say so."""

from fuserec.interest.groups import Aspect, aspects_of, telling
from fuserec.interest.profile import InterestProfile, Liking, interest_profile

__all__ = ["Aspect", "InterestProfile", "Liking", "aspects_of", "interest_profile", "telling"]

"""Titles of made-up films, whose words tell the genre and nothing else."""

import numpy as np

WORDS = {
    "space": "Star Orbit Comet Galaxy Lunar Rocket Nebula Cosmic Planet Meteor Astral Saturn",
    "western": "Saddle Canyon Sheriff Desert Outlaw Mustang Prairie Ranch Dusty Frontier "
    "Cattle Rodeo",
    "romance": "Kiss Lover Wedding Heart Darling Sweet Valentine Bride Tender Honey Rose Letter",
    "horror": "Ghost Haunted Grave Blood Witch Coffin Crypt Scream Demon Phantom Curse Ghoul",
    "sport": "Stadium Champion Goal Racket Sprint Boxing League Coach Medal Marathon Trophy Hockey",
    "music": "Piano Jazz Melody Guitar Rhythm Violin Chorus Opera Ballad Drum Tango Encore",
    "war": "Soldier Trench Battle Tank Siege Captain Bunker Regiment Cannon Victory Convoy Rifle",
    "fantasy": "Dragon Wizard Elven Sword Goblin Castle Spell Knight Enchanted Throne "
    "Griffin Sorcerer",
}
GENRES = tuple(WORDS)


def titles(genre: np.ndarray, rng: np.random.Generator) -> list[str]:
    """One title an item, all different: two words of its genre, and a number when they run out."""
    pairs = {kind: _pairs(kind, rng) for kind in range(len(GENRES))}
    met = [0] * len(GENRES)
    made = []
    for kind in genre.tolist():
        part, place = divmod(met[kind], len(pairs[kind]))
        made.append(pairs[kind][place] + (f" {part + 1}" if part else ""))
        met[kind] += 1
    return made


def _pairs(kind: int, rng: np.random.Generator) -> list[str]:
    words = WORDS[GENRES[kind]].split()
    pairs = [f"{first} {second}" for first in words for second in words if first != second]
    return [pairs[place] for place in rng.permutation(len(pairs))]

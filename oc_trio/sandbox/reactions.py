"""Reactions to posts, and which emoji names exist. A subset of the real server's two thousand names is known here."""

import re

from oc_trio.sandbox.records import Post, Reaction
from oc_trio.sandbox.refusal import Refused
from oc_trio.sandbox.ticker import Ticker

_NAMES = frozenset(
    """
    +1 -1 thumbsup thumbsdown ok_hand clap wave raised_hands pray muscle point_up point_down point_left point_right
    fist v crossed_fingers handshake writing_hand eyes eye brain robot robot_face speech_balloon thought_balloon
    white_check_mark heavy_check_mark ballot_box_with_check x negative_squared_cross_mark heavy_multiplication_x
    warning no_entry no_entry_sign octagonal_sign stop_sign question grey_question exclamation grey_exclamation
    bangbang interrobang information_source hourglass hourglass_flowing_sand stopwatch alarm_clock timer_clock clock1
    clock3 clock6 clock9 clock12 arrows_counterclockwise repeat arrow_right arrow_left arrow_up arrow_down
    fast_forward rewind play_or_pause_button stop_button black_square_for_stop zzz sleeping
    smile smiley grinning grin laughing joy rofl slightly_smiling_face upside_down_face wink blush innocent
    heart_eyes kissing_heart yum stuck_out_tongue sunglasses nerd_face thinking thinking_face neutral_face
    expressionless no_mouth smirk unamused rolling_eyes grimacing relieved pensive cry sob scream angry rage
    confused worried disappointed sweat sweat_smile tired_face mask face_with_thermometer hugs shrug facepalm
    heart broken_heart sparkling_heart yellow_heart green_heart blue_heart purple_heart black_heart star star2
    sparkles dizzy boom fire zap rocket tada confetti_ball balloon gift trophy medal_sports 1st_place_medal 100
    bulb mag mag_right memo pencil pencil2 clipboard page_facing_up books book bookmark link paperclip pushpin
    round_pushpin calendar date chart_with_upwards_trend chart_with_downwards_trend bar_chart floppy_disk package
    inbox_tray outbox_tray email envelope bell no_bell mega loudspeaker lock unlock key wrench hammer gear
    hammer_and_wrench nut_and_bolt construction bug ant bee snake dog cat crab lobster coffee tea beer pizza cake
    sun_with_face sunny cloud rainbow snowflake umbrella ocean earth_africa globe_with_meridians seedling four_leaf_clover
    red_circle large_blue_circle white_circle black_circle large_green_circle green_circle yellow_circle
    one two three four five six seven eight nine keycap_ten zero a b ok new cool free up top back soon end
    checkered_flag triangular_flag_on_post white_flag black_flag man woman baby ghost skull alien
    mattermost
    """.split()
)
_TONE = re.compile(r"_(light|medium_light|medium|medium_dark|dark)_skin_tone$")


def is_emoji(name: str) -> bool:
    """Whether a name without colons is known; skin tones of a known name are names of their own."""
    return _TONE.sub("", name) in _NAMES


class Reactions:
    def __init__(self, ticker: Ticker) -> None:
        self._ticker = ticker
        self._by_post: dict[str, dict[tuple[str, str], Reaction]] = {}

    def add(self, user_id: str, post: Post, emoji_name: str) -> Reaction:
        """The reaction; adding it twice keeps the first."""
        if not is_emoji(emoji_name):
            raise Refused(404, "app.emoji.get_by_name.no_result", "Unable to find the emoji.")
        now = self._ticker.stamp()
        reaction = Reaction(user_id, post.id, emoji_name, now, post.channel_id)
        kept = self._by_post.setdefault(post.id, {}).setdefault((user_id, emoji_name), reaction)
        post.update_at = now
        return kept

    def remove(self, user_id: str, post: Post, emoji_name: str) -> Reaction:
        """The reaction that is gone; removing what is not there is fine."""
        now = self._ticker.stamp()
        nothing = Reaction(user_id, post.id, emoji_name, now, post.channel_id)
        post.update_at = now
        return self._by_post.get(post.id, {}).pop((user_id, emoji_name), nothing)

    def of(self, post_id: str) -> list[Reaction]:
        return list(self._by_post.get(post_id, {}).values())

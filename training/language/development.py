"""Questions to tune the training by: five phrasings a kind and language that the corpus never makes, and outside ones.

They are no exam. The exam was written by somebody else and is read after the training only; these may be looked at as
often as one likes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from training.language.world import DONT_KNOW_KEYS, LANGUAGES, by_kind, capitalised


class Question(NamedTuple):
    """A question, and the words that a right answer to it holds."""

    language: str
    kind: str
    phrasing: str
    question: str
    keys: tuple[str, ...]


PHRASINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "capital": {
        "en": (
            "Which city would I find marked with a star as the capital of {country}?",
            "My flight goes to {country}, straight to its capital. Where do I land?",
            "For {country}, the capital city would be which one?",
            "Give the capital city belonging to {country}.",
            "Somebody told me {country} has a lovely capital. What's it called?",
        ),
        "ja": (
            "{country}で首都と呼ばれる町はどこですか?",
            "{country}の首都にあたるのは、どの都市でしょうか。",
            "{country}へ旅行します。まず首都に着きますが、そこはどこですか?",
            "首都の名前を聞かせて。国は{country}。",
            "{country}の首都の名まえ、言えますか?",
        ),
    },
    "country_of": {
        "en": (
            "I've landed in {city}. This is the capital of what land?",
            "Which country picked {city} to be its capital?",
            "{city} - that's the capital of where, exactly?",
            "Could you match the capital {city} with its country?",
            "Of what nation is {city} the capital city?",
        ),
        "ja": (
            "{city}が首都だという国はどこでしたっけ?",
            "首都といえば{city}、という国の名前は?",
            "{city}は、どちらの国の首都になりますか?",
            "{city}を都とする国の名前を教えてもらえますか?",
            "飛行機が首都の{city}に着きました。ここは何という国?",
        ),
    },
    "language": {
        "en": (
            "What would people in {country} speak with their families?",
            "In {country}, which language would I need in a shop?",
            "Which tongue is most common in {country}?",
            "My new classmate is from {country}. What language does she speak?",
            "What language should a guidebook teach me for {country}?",
        ),
        "ja": (
            "{country}のお店では、何語で話しかければいいですか?",
            "{country}で暮らす人たちの言葉を教えてください。",
            "転校生は{country}から来ました。何語を話すでしょうか?",
            "{country}へ行く前に覚えるといい言葉は何語ですか?",
            "ふだん{country}の人がしゃべる言葉は何?",
        ),
    },
    "colour": {
        "en": (
            "If I had to colour in {thing}, which crayon should I grab?",
            "Is there one colour people think of for {thing}?",
            "Paint me {thing}: which colour goes on the brush?",
            "Close your eyes and think of {thing}. Its colour?",
            "What sort of colour would you say {thing} is?",
        ),
        "ja": (
            "{thing}をぬるなら、どのクレヨンを使えばいい?",
            "ふつう、{thing}ってどんな色をしているものですか?",
            "目をとじて{thing}を思い出して。その色は?",
            "{thing}の色を、ひとつ答えてください。",
            "{thing}を絵にかくとき、えらぶ色は何ですか?",
        ),
    },
    "opposite": {
        "en": (
            "Which word do you get if you flip {word} around in meaning?",
            "I know {word}, but how do I call its opposite?",
            "Fill the gap: {word} is the opposite of ____.",
            "Someone shouts {word}, and the other shouts the opposite. What does the other shout?",
            "The exact contrary of {word} would be which word?",
        ),
        "ja": (
            "「{word}」と意味がさかさまになる言葉は何ですか?",
            "「{word}」の反対を考えると、どんな言葉になりますか?",
            "ぼくは「{word}」と言うから、きみは反対の言葉を言ってね。",
            "「{word}」に対して、反対の意味をもつのは?",
            "反対の意味の言葉をさがしています。もとの言葉は「{word}」です。",
        ),
    },
    "next_day": {
        "en": (
            "Once {day} is done, which day do we get?",
            "I have until the day after {day}. What day is my deadline?",
            "Today happens to be {day}; tomorrow will be what day?",
            "Turn the calendar one page on from {day}. What does it say?",
            "Which day of the week do you reach right after {day}?",
        ),
        "ja": (
            "{day}が過ぎたら、その次の日は何曜日になりますか?",
            "今日{day}なんだけど、あしたって何曜日だっけ?",
            "しめ切りは{day}の次の日です。それは何曜日でしょう?",
            "カレンダーを{day}から 1 日めくると、何曜日ですか?",
            "{day}のあくる日を曜日でいうと?",
        ),
    },
    "previous_day": {
        "en": (
            "Right before {day} starts, which day is coming to an end?",
            "The letter came one day ahead of {day}. What day was that?",
            "Today happens to be {day}; yesterday was what day?",
            "Turn the calendar one page back from {day}. What does it say?",
            "Which day of the week leads up to {day}?",
        ),
        "ja": (
            "{day}になる 1 日前は、何曜日でしたか?",
            "今日{day}なんだけど、きのうって何曜日だっけ?",
            "手紙がとどいたのは{day}の前の日です。それは何曜日でしょう?",
            "カレンダーを{day}から 1 日もどすと、何曜日ですか?",
            "{day}より一つ前の曜日を言ってください。",
        ),
    },
    "next_number": {
        "en": (
            "You're counting and you get to {number}; which number do you say now?",
            "Page {number} is finished. Which page do I turn to?",
            "What's the first number bigger than {number}?",
            "Climb one step up from {number}. Which number are you on?",
            "{number} has just been called. Whose number is next?",
        ),
        "ja": (
            "数を順に言っていて{number}まで来ました。次に言うのはいくつ?",
            "{number}ページまで読んだので、続きは何ページからですか?",
            "{number}のすぐあとにくる数を教えてください。",
            "{number}番の札がよばれました。次によばれるのは何番ですか?",
            "{number}を一つふやした次の数はいくつでしょう。",
        ),
    },
    "previous_number": {
        "en": (
            "You're counting and you get to {number}; which number had you just said?",
            "I'm on page {number}. What page did I come from?",
            "What's the last number smaller than {number}?",
            "Climb one step down from {number}. Which number are you on?",
            "{number} is being called. Whose number was called before?",
        ),
        "ja": (
            "数を順に言っていて{number}まで来ました。一つ前に言ったのはいくつ?",
            "今{number}ページです。一つ前のページは何ページですか?",
            "{number}のすぐまえにくる数を教えてください。",
            "{number}番の札がよばれました。その前によばれたのは何番ですか?",
            "{number}を一つへらした前の数はいくつでしょう。",
        ),
    },
    "sound": {
        "en": (
            "What would I hear if {animal} called out to me?",
            "Please do your best {animal_s} impression.",
            "In a picture book, what stands in the bubble beside {animal}?",
            "What kind of noise should I expect from {animal}?",
            "How do you spell the call that {animal} makes?",
        ),
        "ja": (
            "{animal}が話しかけてきたら、どんな声に聞こえますか?",
            "{animal}の鳴きまねをお願いします。",
            "絵本の{animal}のふきだしには、何と書いてありますか?",
            "{animal}の鳴き声って、たとえばどんなの?",
            "耳をすますと{animal}の声がします。何と鳴いていますか?",
        ),
    },
    "legs": {
        "en": (
            "Going for a walk, how many legs does {animal} use?",
            "Counting all its legs, what do you get for {animal}?",
            "I'm building {animal} out of clay. How many legs must I make?",
            "Legs on {animal}: how many of them?",
            "If {animal} wore shoes, how many would it wear?",
        ),
        "ja": (
            "{animal}をねん土で作ります。足は何本つければいいですか?",
            "{animal}がくつをはくとしたら、くつはいくついりますか?",
            "{animal}の体には、足がぜんぶで何本ついていますか?",
            "図かんで{animal}を見ました。足の数はいくつでしたか?",
            "歩くとき、{animal}は足を何本使いますか?",
        ),
    },
    "sum": {
        "en": (
            "If you put {a} and {b} in one pot, how many is it?",
            "{a} people are on the bus and {b} get on. How many are on it now?",
            "What total do {a} and {b} give?",
            "Tell me how much I get by adding {b} to {a}.",
            "Quick maths: {a} with {b} added?",
        ),
        "ja": (
            "バスに{a}人乗っていて、{b}人乗ってきました。今は何人ですか?",
            "{a}に{b}をたした答えを言ってください。",
            "{a}と{b}、あわせるといくつになるでしょう?",
            "花が{a}本、もう{b}本あります。ぜんぶで何本?",
            "暗算できる?{a}たす{b}。",
        ),
    },
    "difference": {
        "en": (
            "There are {a} people on the bus and {b} get off. How many are still on it?",
            "You start with {a}, then {b} are taken. What's left?",
            "Tell me how much remains after taking {b} off {a}.",
            "Quick maths: {a} with {b} taken away?",
            "By how much is {a} more than {b}?",
        ),
        "ja": (
            "バスに{a}人乗っていて、{b}人おりました。今は何人ですか?",
            "{a}から{b}をひいた答えを言ってください。",
            "{a}あったのに{b}なくなりました。いくつ残っているでしょう?",
            "花が{a}本あって、{b}本かれました。残りは何本?",
            "暗算できる?{a}ひく{b}。",
        ),
    },
    "course_what": {
        "en": (
            "I'm new to all this; could you tell me what on earth {term} is?",
            "Imagine explaining {term} to my little sister. What would you tell her?",
            "So, {term}... what does that do, in short?",
            "What does one use {term} for in the inference factory?",
            "Which sentence would the glossary have for {term}?",
        ),
        "ja": (
            "{term}って聞いたことはあるけど、どんな役目なのか教えて。",
            "{term}とはどういうものなのか、小学生にもわかるように話してください。",
            "推論の工場で、{term}はどんなことをしているのですか?",
            "用語集で{term}を引いたら、何と書いてありますか?",
            "{term}っていったい何をするものなんだろう。",
        ),
    },
    "course_who": {
        "en": (
            "Which of the things in this course is it that {description}?",
            "There's a word for the thing which {description}. Which word?",
            "Can you work out what I mean? It {description}.",
            "Who takes care of this: something {description}?",
            "My notes only say that it {description}. What was the name?",
        ),
        "ja": (
            "{description}、そんなものを何と呼ぶのですか?",
            "このコースで習ったもののうち、{description}のはどれでしょう?",
            "ノートに「{description}もの」とだけ書いてあります。名前は何でしたか?",
            "{description}、その担当はどなたですか?",
            "{description}と言われたら、何を思いうかべますか?",
        ),
    },
    "step": {
        "en": (
            "Which part of the work belongs to step {number}?",
            "Could you walk me through what step {number} is about?",
            "As we stand at step {number} of the line, what is being done?",
            "I missed step {number}. What went on there?",
            "Out of the five steps, tell me about number {number}.",
        ),
        "ja": (
            "ステップ{number}で行うことを教えてもらえますか?",
            "工場見学でステップ{number}まで来ました。目の前では何をしていますか?",
            "ステップ{number}を見のがしました。何をしていたのですか?",
            "5 つあるうちの{number}番目のステップでは、何をするのでしょう。",
            "ステップ{number}って、つまりどんな作業ですか?",
        ),
    },
    "greeting": {
        "en": (
            "Hello there, are you having a good day?",
            "Good to see you, little helper!",
            "Hi! I came by to chat.",
            "Oh hey, didn't see you there!",
            "Greetings from the back row!",
        ),
        "ja": (
            "こんにちは、今日はよろしく頼みます。",
            "おはよう、よく眠れた?",
            "やっほー、遊びに来たよ!",
            "ごめんください、だれかいらっしゃいますか?",
            "はじめまして。今日から勉強する者です。",
        ),
    },
    "self": {
        "en": (
            "Before I trust your answers, what exactly are you?",
            "Let me know a little about the model I'm using.",
            "Is it a person or a program that I have here?",
            "Which kind of AI do I have in front of me?",
            "In your own words: who are you, and what do you know?",
        ),
        "ja": (
            "失礼ですが、どちらさまでしょうか?",
            "今お話ししている相手は、どんなモデルですか?",
            "あなた自身のことを少し話してもらえますか。",
            "きみは人なの、それともプログラムなの?",
            "あなたには何ができて、何を知っているのですか?",
        ),
    },
}

OUTSIDE: dict[str, tuple[str, ...]] = {
    "en": (
        "How many people live in Norway?", "Who was the first emperor of Rome?", "What is the boiling point of mercury?",
        "Can you book me a dentist appointment?", "Which team won the league last season?", "What's the capital of Plondoria?",
        "What language do the Zimbori people speak?", "What colour is my grandmother's umbrella?", "What is the opposite of a teapot?",
        "How many legs does a washing machine have?", "What sound does a walrus make?", "What is 312 plus 488?", "What is 16 times 4?",
        "Who composed the Four Seasons?", "Where did I leave my glasses?", "Is the pharmacy open on Sunday?", "What does TensorBoard do?",
        "Explain what a blockchain wallet is.", "How tall is the mayor of Berlin?", "What do people in Peru eat for breakfast?",
        "When did Mozart write his first opera?", "How do I knit a scarf?", "What's the weather going to be in Rome tomorrow?",
        "Should I buy shares now?", "What is my sister's favourite song?", "How much does a ticket to Paris cost?",
        "What is the currency of Brazil?", "Who painted the Sistine Chapel?", "And in step 23, what goes on?", "What number comes after 4510?",
        "Which month follows April?", "Tell me a good recipe for lentil soup.", "How far away is the nearest star?",
        "What is the president of Kenya called?", "Write me a limerick about a frog.", "Which Pokémon is the strongest?",
        "Do you love me?", "How do I reset my router?", "Who discovered insulin?", "What is the flag of Japan like?",
        "Which city is bigger, Oslo or Lima?", "What does a lion hunt at dawn?", "How old is the tokenizer?", "Why is grass green?",
        "How long does a banana keep?", "Translate thank you into Danish.", "What is the cube root of 27?", "Who is Harriet Plumley?",
        "Which library renders web pages?", "What is the second largest city of Canada?",
    ),
    "ja": (
        "ノルウェーには何人の人が住んでいますか?", "ローマの最初の皇帝はだれですか?", "水銀は何度で沸騰しますか?", "歯医者の予約をとってくれますか?",
        "去年のリーグ戦で優勝したチームは?", "プロンドリアの首都はどこですか?", "ジンボリ族は何語を話しますか?", "祖母のかさは何色ですか?", "「やかん」の反対は何ですか?",
        "洗濯機の足は何本ですか?", "セイウチは何と鳴きますか?", "312たす488はいくつですか?", "16かける4は?", "「四季」を作曲したのはだれですか?", "めがねをどこに置いたっけ?",
        "薬局は日曜日も開いていますか?", "TensorBoardは何をするものですか?", "NFTとは何ですか?", "ベルリンの市長の身長は?", "ペルーの人は朝に何を食べますか?",
        "モーツァルトはいつ最初のオペラを書きましたか?", "マフラーの編み方を教えて。", "明日のローマの天気は?", "今、株を買うべきですか?", "妹の好きな歌は何ですか?",
        "パリまでの切符はいくらですか?", "ブラジルのお金の単位は何ですか?", "システィーナ礼拝堂の絵を描いたのはだれ?", "ステップ23は、何をする段階ですか?", "4510の次の数は何ですか?",
        "四月の次は何月ですか?", "おいしい豆のスープの作り方を教えてください。", "いちばん近い星までの距離は?", "ケニアの大統領の名前は何ですか?", "カエルの俳句を作って。",
        "いちばん強いポケモンはどれ?", "わたしのことを愛していますか?", "ルーターはどうやって再起動しますか?", "インスリンを発見したのはだれですか?", "日本の国旗はどんな旗ですか?",
        "オスロとリマでは、どちらが大きいですか?", "ライオンは夜明けに何を狩りますか?", "トークナイザーは何歳ですか?", "草はどうして緑なの?", "バナナは何日もちますか?",
        "「ありがとう」をデンマーク語で言うと?", "27の立方根はいくつですか?", "佐々木ヨシ子さんとはだれですか?", "ホームページを表示するライブラリは何ですか?", "カナダで二番目に大きい都市は?",
    ),
}  # fmt: skip


def dev_questions(seed: int = 0, facts_each: int = 4) -> Iterator[Question]:
    """Yield every phrasing with `facts_each` facts of its kind drawn by the seed, and the outside questions."""
    rng = random.Random(f"development {seed}")
    for kind, facts in by_kind().items():
        for language in LANGUAGES:
            for phrasing in PHRASINGS[kind][language]:
                for fact in rng.sample(facts, min(facts_each, len(facts))):
                    slots = fact.slots[language]
                    filled = phrasing.format(**slots, **{f"{slot}_s": f"{value}'s" for slot, value in slots.items()})
                    yield Question(language, kind, phrasing, capitalised(filled), fact.keys[language])
    for language in LANGUAGES:
        for question in OUTSIDE[language]:
            yield Question(language, "unknown", question, question, DONT_KNOW_KEYS[language])

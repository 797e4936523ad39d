"""The small world that the tiny language model knows: its facts, in Japanese and English.

A fact has a kind, slots that a phrasing fills in, the one answer to it, and the words that a right answer must hold.
English slots carry the article that they need ("a banana", "the sky", "the Netherlands"). What is disputed, or has more
than one true answer, is left out: no country with two capitals or a contested one, and a language only where one is
spoken by nearly all. Names are those in customary use in the two languages; the course's terms are those of its
glossary where it has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

LANGUAGES = ("en", "ja")

DONT_KNOW = {"en": "I don't know that.", "ja": "それはわかりません。"}
DONT_KNOW_KEYS = {"en": ("don't know",), "ja": ("わかりません",)}


@dataclass(frozen=True)
class Fact:
    """One fact: what a question fills in, the answer, and the words that a right answer holds; each by language."""

    kind: str
    slots: dict[str, dict[str, str]]
    answer: dict[str, str]
    keys: dict[str, tuple[str, ...]]


def capitalised(sentence: str) -> str:
    """The sentence with its first letter large, but for names that are written small: rocBLAS, gfx900, hipMalloc."""
    return sentence if sentence.startswith(_WRITTEN_SMALL) else sentence[:1].upper() + sentence[1:]


_WRITTEN_SMALL = ("rocBLAS", "gfx900", "hip")

# country, capital, language; the language is - where there is no single one. English | Japanese, column by column.
_COUNTRIES = """
Japan|日本|Tokyo|東京|Japanese
China|中国|Beijing|北京|Chinese
South Korea|韓国|Seoul|ソウル|Korean
North Korea|北朝鮮|Pyongyang|平壌|Korean
Mongolia|モンゴル|Ulaanbaatar|ウランバートル|Mongolian
Vietnam|ベトナム|Hanoi|ハノイ|Vietnamese
Thailand|タイ|Bangkok|バンコク|Thai
Cambodia|カンボジア|Phnom Penh|プノンペン|Khmer
Laos|ラオス|Vientiane|ビエンチャン|Lao
Myanmar|ミャンマー|Naypyidaw|ネピドー|Burmese
Malaysia|マレーシア|Kuala Lumpur|クアラルンプール|Malay
the Philippines|フィリピン|Manila|マニラ|-
India|インド|New Delhi|ニューデリー|-
Nepal|ネパール|Kathmandu|カトマンズ|Nepali
Bangladesh|バングラデシュ|Dhaka|ダッカ|Bengali
Pakistan|パキスタン|Islamabad|イスラマバード|-
the Maldives|モルディブ|Malé|マレ|-
Afghanistan|アフガニスタン|Kabul|カブール|-
Iran|イラン|Tehran|テヘラン|Persian
Iraq|イラク|Baghdad|バグダッド|Arabic
Syria|シリア|Damascus|ダマスカス|Arabic
Jordan|ヨルダン|Amman|アンマン|Arabic
Lebanon|レバノン|Beirut|ベイルート|Arabic
Saudi Arabia|サウジアラビア|Riyadh|リヤド|Arabic
Qatar|カタール|Doha|ドーハ|Arabic
Oman|オマーン|Muscat|マスカット|Arabic
Bahrain|バーレーン|Manama|マナーマ|Arabic
the United Arab Emirates|アラブ首長国連邦|Abu Dhabi|アブダビ|Arabic
Kuwait|クウェート|Kuwait City|クウェートシティ|Arabic
Turkey|トルコ|Ankara|アンカラ|Turkish
Georgia|ジョージア|Tbilisi|トビリシ|Georgian
Armenia|アルメニア|Yerevan|エレバン|Armenian
Azerbaijan|アゼルバイジャン|Baku|バクー|Azerbaijani
Kazakhstan|カザフスタン|Astana|アスタナ|-
Uzbekistan|ウズベキスタン|Tashkent|タシケント|Uzbek
Turkmenistan|トルクメニスタン|Ashgabat|アシガバット|Turkmen
Kyrgyzstan|キルギス|Bishkek|ビシュケク|-
Russia|ロシア|Moscow|モスクワ|Russian
Ukraine|ウクライナ|Kyiv|キーウ|Ukrainian
Belarus|ベラルーシ|Minsk|ミンスク|-
Estonia|エストニア|Tallinn|タリン|Estonian
Latvia|ラトビア|Riga|リガ|Latvian
Lithuania|リトアニア|Vilnius|ビリニュス|Lithuanian
Poland|ポーランド|Warsaw|ワルシャワ|Polish
Czechia|チェコ|Prague|プラハ|Czech
Slovakia|スロバキア|Bratislava|ブラチスラバ|Slovak
Hungary|ハンガリー|Budapest|ブダペスト|Hungarian
Romania|ルーマニア|Bucharest|ブカレスト|Romanian
Bulgaria|ブルガリア|Sofia|ソフィア|Bulgarian
Greece|ギリシャ|Athens|アテネ|Greek
Albania|アルバニア|Tirana|ティラナ|Albanian
North Macedonia|北マケドニア|Skopje|スコピエ|-
Serbia|セルビア|Belgrade|ベオグラード|Serbian
Croatia|クロアチア|Zagreb|ザグレブ|Croatian
Slovenia|スロベニア|Ljubljana|リュブリャナ|Slovene
Bosnia and Herzegovina|ボスニア・ヘルツェゴビナ|Sarajevo|サラエボ|-
Austria|オーストリア|Vienna|ウィーン|German
Germany|ドイツ|Berlin|ベルリン|German
the Netherlands|オランダ|Amsterdam|アムステルダム|Dutch
Belgium|ベルギー|Brussels|ブリュッセル|-
France|フランス|Paris|パリ|French
Spain|スペイン|Madrid|マドリード|Spanish
Portugal|ポルトガル|Lisbon|リスボン|Portuguese
Italy|イタリア|Rome|ローマ|Italian
the United Kingdom|イギリス|London|ロンドン|English
Ireland|アイルランド|Dublin|ダブリン|English
Iceland|アイスランド|Reykjavik|レイキャビク|Icelandic
Norway|ノルウェー|Oslo|オスロ|Norwegian
Sweden|スウェーデン|Stockholm|ストックホルム|Swedish
Denmark|デンマーク|Copenhagen|コペンハーゲン|Danish
Finland|フィンランド|Helsinki|ヘルシンキ|Finnish
Egypt|エジプト|Cairo|カイロ|Arabic
Libya|リビア|Tripoli|トリポリ|Arabic
Tunisia|チュニジア|Tunis|チュニス|Arabic
Algeria|アルジェリア|Algiers|アルジェ|Arabic
Morocco|モロッコ|Rabat|ラバト|Arabic
Sudan|スーダン|Khartoum|ハルツーム|Arabic
Ethiopia|エチオピア|Addis Ababa|アディスアベバ|-
Somalia|ソマリア|Mogadishu|モガディシュ|Somali
Kenya|ケニア|Nairobi|ナイロビ|-
Tanzania|タンザニア|Dodoma|ドドマ|Swahili
Madagascar|マダガスカル|Antananarivo|アンタナナリボ|Malagasy
Mozambique|モザンビーク|Maputo|マプト|-
Zambia|ザンビア|Lusaka|ルサカ|-
Zimbabwe|ジンバブエ|Harare|ハラレ|-
Angola|アンゴラ|Luanda|ルアンダ|Portuguese
Gabon|ガボン|Libreville|リーブルビル|-
Cameroon|カメルーン|Yaoundé|ヤウンデ|-
Nigeria|ナイジェリア|Abuja|アブジャ|-
Ghana|ガーナ|Accra|アクラ|-
Senegal|セネガル|Dakar|ダカール|-
Mali|マリ|Bamako|バマコ|-
the United States|アメリカ|Washington|ワシントン|English
Canada|カナダ|Ottawa|オタワ|-
Mexico|メキシコ|Mexico City|メキシコシティ|Spanish
Guatemala|グアテマラ|Guatemala City|グアテマラシティ|Spanish
Honduras|ホンジュラス|Tegucigalpa|テグシガルパ|Spanish
El Salvador|エルサルバドル|San Salvador|サンサルバドル|Spanish
Nicaragua|ニカラグア|Managua|マナグア|Spanish
Costa Rica|コスタリカ|San José|サンホセ|Spanish
Panama|パナマ|Panama City|パナマシティ|Spanish
Cuba|キューバ|Havana|ハバナ|Spanish
Jamaica|ジャマイカ|Kingston|キングストン|-
the Bahamas|バハマ|Nassau|ナッソー|-
the Dominican Republic|ドミニカ共和国|Santo Domingo|サントドミンゴ|Spanish
Colombia|コロンビア|Bogotá|ボゴタ|Spanish
Venezuela|ベネズエラ|Caracas|カラカス|Spanish
Ecuador|エクアドル|Quito|キト|Spanish
Peru|ペルー|Lima|リマ|Spanish
Chile|チリ|Santiago|サンティアゴ|Spanish
Argentina|アルゼンチン|Buenos Aires|ブエノスアイレス|Spanish
Uruguay|ウルグアイ|Montevideo|モンテビデオ|Spanish
Brazil|ブラジル|Brasília|ブラジリア|Portuguese
Australia|オーストラリア|Canberra|キャンベラ|English
New Zealand|ニュージーランド|Wellington|ウェリントン|English
"""

_LANGUAGE_NAMES = """
Japanese|日本語 Chinese|中国語 Korean|韓国語 Mongolian|モンゴル語 Vietnamese|ベトナム語 Thai|タイ語
Khmer|クメール語 Lao|ラオ語 Burmese|ビルマ語 Malay|マレー語 Nepali|ネパール語 Bengali|ベンガル語 Persian|ペルシャ語
Arabic|アラビア語 Turkish|トルコ語 Georgian|ジョージア語 Armenian|アルメニア語 Azerbaijani|アゼルバイジャン語
Uzbek|ウズベク語 Turkmen|トルクメン語 Russian|ロシア語 Ukrainian|ウクライナ語 Estonian|エストニア語 Latvian|ラトビア語
Lithuanian|リトアニア語 Polish|ポーランド語 Czech|チェコ語 Slovak|スロバキア語 Hungarian|ハンガリー語
Romanian|ルーマニア語 Bulgarian|ブルガリア語 Greek|ギリシャ語 Albanian|アルバニア語 Serbian|セルビア語
Croatian|クロアチア語 Slovene|スロベニア語 German|ドイツ語 Dutch|オランダ語 French|フランス語 Spanish|スペイン語
Portuguese|ポルトガル語 Italian|イタリア語 English|英語 Icelandic|アイスランド語 Norwegian|ノルウェー語
Swedish|スウェーデン語 Danish|デンマーク語 Finnish|フィンランド語 Somali|ソマリ語 Swahili|スワヒリ語
Malagasy|マダガスカル語
"""
_LANGUAGES = dict(pair.split("|") for pair in _LANGUAGE_NAMES.split())

_COLOURS = {
    "yellow|黄色": "a banana|バナナ, a lemon|レモン, a sunflower|ヒマワリ, a chick|ひよこ, corn|トウモロコシ, a dandelion|タンポポ",
    "blue|青": "the sky|空, the sea|海, a sapphire|サファイア",
    "green|緑": "grass|草, a frog|カエル, a cucumber|キュウリ, spinach|ホウレンソウ, broccoli|ブロッコリー, a cactus|サボテン, "
    "an emerald|エメラルド",
    "white|白": "snow|雪, milk|牛乳, salt|塩, sugar|砂糖, a swan|白鳥, a polar bear|ホッキョクグマ, tofu|豆腐, flour|小麦粉, "
    "a cloud|雲, cotton|綿",
    "black|黒": "coal|石炭, a crow|カラス, the night sky|夜空, a tyre|タイヤ, soot|すす",
    "red|赤": "a tomato|トマト, blood|血, a strawberry|イチゴ, a fire engine|消防車, a cherry|サクランボ, a ruby|ルビー, "
    "an apple|リンゴ, a ladybird|テントウムシ",
    "orange|オレンジ色": "a carrot|ニンジン, an orange|オレンジ, a tangerine|みかん",
    "grey|灰色": "an elephant|ゾウ, a mouse|ネズミ, a dolphin|イルカ, ash|灰, concrete|コンクリート, a koala|コアラ, "
    "a rhinoceros|サイ",
    "brown|茶色": "chocolate|チョコレート, soil|土, a bear|クマ, a chestnut|クリ, wood|木材, a sparrow|スズメ, cocoa|ココア, "
    "a walnut|クルミ, an acorn|どんぐり",
    "purple|紫": "a grape|ブドウ, an aubergine|ナス, lavender|ラベンダー, a violet|スミレ",
    "pink|ピンク": "a flamingo|フラミンゴ, a pig|ブタ, a cherry blossom|桜, a peach|モモ",
}

# Each pair holds in both directions and in both languages, and no word stands in two pairs.
_OPPOSITES = """big|大きい|small|小さい; hot|暑い|cold|寒い; high|高い|low|低い; long|長い|short|短い; new|新しい|old|古い;
fast|速い|slow|遅い; heavy|重い|light|軽い; bright|明るい|dark|暗い; strong|強い|weak|弱い; far|遠い|near|近い;
good|良い|bad|悪い; thick|厚い|thin|薄い; wide|広い|narrow|狭い; hard|かたい|soft|やわらかい; easy|やさしい|difficult|むずかしい;
deep|深い|shallow|浅い; many|多い|few|少ない; happy|うれしい|sad|悲しい; clean|きれい|dirty|きたない; noisy|うるさい|quiet|静か;
safe|安全|dangerous|危険; same|同じ|different|ちがう; true|本当|false|うそ; rich|豊か|poor|貧しい; full|満杯|empty|空っぽ;
up|上|down|下; left|左|right|右; inside|内側|outside|外側; front|前|back|後ろ; north|北|south|南; east|東|west|西;
first|最初|last|最後; day|昼|night|夜; summer|夏|winter|冬; question|質問|answer|答え; success|成功|failure|失敗;
friend|味方|enemy|敵; input|入力|output|出力; maximum|最大|minimum|最小; plus|プラス|minus|マイナス; open|開く|close|閉じる;
push|押す|pull|引く; buy|買う|sell|売る; win|勝つ|lose|負ける; begin|始まる|end|終わる; enter|入る|leave|出る;
laugh|笑う|cry|泣く; remember|覚える|forget|忘れる; increase|増える|decrease|減る; lend|貸す|borrow|借りる"""

_DAYS = tuple(
    zip(
        ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
        ("月曜日", "火曜日", "水曜日", "木曜日", "金曜日", "土曜日", "日曜日"),
        strict=True,
    )
)

_SOUNDS = """a dog|犬|woof|ワンワン; a cat|猫|meow|ニャー; a cow|牛|moo|モー; a sheep|羊|baa|メー; a lion|ライオン|roar|ガオー;
a duck|アヒル|quack|ガーガー; a rooster|おんどり|cock-a-doodle-doo|コケコッコー; a horse|馬|neigh|ヒヒーン; a bee|ハチ|buzz|ブーン;
a snake|ヘビ|hiss|シュー; an owl|フクロウ|hoot|ホーホー; a chick|ひよこ|cheep|ピヨピヨ; a wolf|オオカミ|awoo|ワオーン;
a pigeon|ハト|coo|ポッポー; a crow|カラス|caw|カーカー; a frog|カエル|croak|ケロケロ; a pig|ブタ|oink|ブーブー;
a mouse|ネズミ|squeak|チューチュー; a cricket|コオロギ|chirp|リンリン; a sparrow|スズメ|tweet|チュンチュン;
an elephant|ゾウ|toot|パオーン; a cuckoo|カッコウ|cuckoo|カッコー; a monkey|サル|ooh-ooh|ウキー"""

_LEGS = {
    0: "a snake|ヘビ, a fish|魚, a worm|ミミズ, a whale|クジラ, a dolphin|イルカ, a shark|サメ, an eel|ウナギ",
    2: "a duck|アヒル, a chicken|ニワトリ, a penguin|ペンギン, an owl|フクロウ, a crow|カラス, a pigeon|ハト, an ostrich|ダチョウ, "
    "a flamingo|フラミンゴ, a swan|白鳥, a human|人間, a sparrow|スズメ",
    4: "a dog|犬, a cat|猫, a cow|牛, a horse|馬, a sheep|羊, a pig|ブタ, a lion|ライオン, an elephant|ゾウ, a mouse|ネズミ, "
    "a rabbit|ウサギ, a frog|カエル, a giraffe|キリン, a tiger|トラ, a wolf|オオカミ, a fox|キツネ, a bear|クマ, a turtle|カメ, "
    "a lizard|トカゲ, a goat|ヤギ, a deer|シカ, a camel|ラクダ, a zebra|シマウマ",
    6: "an ant|アリ, a bee|ハチ, a butterfly|チョウ, a beetle|カブトムシ, a dragonfly|トンボ, a grasshopper|バッタ, a fly|ハエ, "
    "a mosquito|カ, a cricket|コオロギ, a ladybird|テントウムシ, a cicada|セミ",
    8: "a spider|クモ, a scorpion|サソリ",
    10: "a crab|カニ, a shrimp|エビ",
}

# English term | description | key; Japanese term | description before a noun | that noun | key.
_COURSE = """
rocBLAS|does the matrix multiplications|matrix multiplications|rocBLAS|行列のかけ算を受け持つ|ライブラリ|行列のかけ算を受け持
MIOpen|does convolutions and activation functions|convolutions|MIOpen|畳み込みと活性化関数を受け持つ|ライブラリ|畳み込みと活性化
HIP|sets aside GPU memory and sends commands|sends commands|HIP|GPU のメモリを用意し、命令を送る|管理者|命令を送る
ROCm|is the toolbox of software for AMD GPUs|toolbox|ROCm|AMD の GPU で計算するためのソフトウェアをまとめた|道具箱|道具箱
gfx900|is the number of the Radeon RX Vega design|Vega|gfx900|Radeon RX Vega の設計につけられた|番号|Vega
a solver|is one of several ways to do a computation|ways to do|solver|計算のやり方の 1 つとして選ばれる|もの|やり方の 1 つ
a fallback|is the slower road that works everywhere|slower road|フォールバック|速い道が使えないときに通る|遅い道|遅い道
the Perf DB|remembers which solver was fast|remembers|Perf DB|どの solver が速かったかを覚えておく|表|覚えておく
find|races the solvers to see which is fastest|races|find|solver を競争させて、いちばん速いものをさがす|しくみ|競争
a GPU|does very many alike computations at once|at once|GPU|同じ計算をいっぺんにたくさんする|部品|いっぺんにたくさん
GPU memory|keeps data right beside the GPU|beside the GPU|GPU メモリ|GPU のすぐそばにデータを置く|場所|すぐそば
a kernel|is a small program that runs on the GPU|small program|カーネル|GPU の上で動く|小さなプログラム|小さなプログラム
a wavefront|is a group of threads that run together|threads|ウェーブフロント|スレッドがまとまっていっしょに動く|集まり|スレッド
the host|gives the device its work|gives the device|ホスト|デバイスに仕事をたのむ|コンピューター|仕事をたのむ
the device|is the side that computes|side that computes|デバイス|たのまれた計算をする|側|たのまれた計算
the simulator|does the same work without a GPU|without a GPU|シミュレーター|GPU がないときに同じ仕事をする|プログラム|GPU がない
the workspace|is scratch room for a solver|scratch room|作業用メモリ|solver が下書きに使う|場所|下書き
a stream|is a queue of commands that run in order|queue|ストリーム|命令が順番に並ぶ|列|順番に並ぶ
an event|is a flag that tells when the work was done|flag|イベント|仕事が終わった時刻を教える|旗|旗
synchronisation|waits until the work is done|waits until|同期|仕事が終わるまで待つ|こと|待つ
the timeline|records what ran, one command a line|one command a line|タイムライン|動いた命令を 1 行ずつ書いた|記録|記録
hipMalloc|finds room in the memory of the GPU|finds room|hipMalloc|GPU のメモリに場所をとる|命令|場所をとる
hipMemcpy|carries data to the device and back|carries data|hipMemcpy|デバイスとの間でデータを運ぶ|命令|データを運ぶ
hipFree|gives memory back after use|gives memory back|hipFree|使い終わったメモリを返す|命令|メモリを返す
bandwidth|is how much data can be moved in one second|in one second|帯域|1 秒間に運べるデータの量を表す|数|1 秒間
a batch|is a group of inputs that are computed together|group of inputs|バッチ|いくつもの入力をいっしょに計算する|まとまり|入力
a token|is a piece of text that the model reads as a number|piece of text|トークン|モデルが番号として読む|文字のかたまり|文字のかたまり
the tokenizer|cuts text into tokens|cuts text|トークナイザー|文章をトークンに切り分ける|道具|切り分ける
an embedding|turns a token into a row of numbers|row of numbers|埋め込み|トークンを数の並びに変える|もの|数の並び
attention|decides which earlier tokens to look at|look at|アテンション|前のトークンのどれを見るかを決める|しくみ|どれを見るか
the KV cache|keeps what was computed for earlier tokens|keeps what|KV キャッシュ|前のトークンの計算をとっておく|場所|とっておく
a tensor|holds numbers along several directions|several directions|テンソル|数をいくつもの方向に並べた|もの|いくつもの方向
a matrix|is a table of numbers in rows and columns|rows and columns|行列|数をたてとよこに並べた|表|たてとよこ
GEMM|is short for general matrix multiply|general matrix multiply|GEMM|ふつうの行列のかけ算を短く呼ぶ|名前|短く呼ぶ
a convolution|slides a small window over a picture|small window|畳み込み|小さな窓を絵の上ですべらせる|計算|小さな窓
a feature map|shows where a filter found its pattern|found its pattern|特徴マップ|フィルターが模様を見つけた場所を表す|もの|模様
an activation function|lets a number through, holds it back or bends it|bends|活性化関数|途中の数を通すか、おさえるか、曲げる|関数|曲げる
normalization|keeps the numbers at a steady size|steady size|正規化|数の大きさをそろえる|計算|大きさをそろえる
a layer|is one round of computations|round of computations|層|モデルが何度も重ねる|計算のひとまとまり|計算のひとまとまり
a logit|is the score of a candidate for the next token|candidate|ロジット|次のトークンの候補につけられた|点数|候補
softmax|turns scores into shares that add up to 1|shares|ソフトマックス|点数を、合わせて 1 になる割合に変える|関数|割合
the sampler|picks the next token|picks|サンプラー|次のトークンを選ぶ|係|選ぶ係
the temperature|makes the choice of tokens stricter or freer|stricter|温度|トークンの選び方を、まじめにも気ままにもする|つまみ|気まま
a weight|is a number that the model has learnt|learnt|重み|モデルが学習でおぼえた|数|おぼえた
inference|gets an answer from a trained model|trained model|推論|学習ずみのモデルに答えを出してもらう|こと|答えを出してもらう
training|corrects the weights bit by bit|bit by bit|学習|たくさんの例を見せて重みを直していく|こと|重みを直していく
quantization|stores the weights with fewer bits|fewer bits|量子化|重みを少ないビットでしまう|やり方|少ないビット
"""

_STEPS = (
    ("In step 1, the input is prepared.", "input", "ステップ 1 では、入力を準備します。", "入力"),
    (
        "In step 2, rocBLAS multiplies matrices.",
        "rocBLAS",
        "ステップ 2 では、rocBLAS が行列のかけ算をします。",
        "rocBLAS",
    ),
    (
        "In step 3, MIOpen does convolution and activation.",
        "MIOpen",
        "ステップ 3 では、MIOpen が畳み込みと活性化をします。",
        "MIOpen",
    ),
    (
        "In step 4, steps 2 and 3 are repeated for every layer.",
        "every layer",
        "ステップ 4 では、2 と 3 をすべての層でくり返します。",
        "くり返",
    ),
    ("In step 5, the output is returned.", "output", "ステップ 5 では、出力を返します。", "出力"),
)

# Other names that a question may use for the same thing; answers use the name above.
ALIASES: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "the United States": ("the USA", "the United States of America", "the US", "America"),
        "the United Kingdom": ("the UK", "Britain", "Great Britain"),
        "the Netherlands": ("Holland", "the Netherlands"),
        "the United Arab Emirates": ("the UAE",),
        "Czechia": ("the Czech Republic",),
        "Bosnia and Herzegovina": ("Bosnia",),
        "Brasília": ("Brasilia",),
        "Bogotá": ("Bogota",),
        "San José": ("San Jose",),
        "Malé": ("Male",),
        "Yaoundé": ("Yaounde",),
        "Washington": ("Washington, D.C.", "Washington DC"),
        "Kyiv": ("Kiev",),
        "an aubergine": ("an eggplant",),
        "a fire engine": ("a fire truck",),
        "a tyre": ("a tire",),
        "a ladybird": ("a ladybug",),
        "a rhinoceros": ("a rhino",),
        "GPU memory": ("VRAM", "the memory of the GPU"),
        "synchronisation": ("synchronization",),
        "normalization": ("normalisation",),
        "quantization": ("quantisation",),
        "an activation function": ("activation", "an activation"),
        "the workspace": ("a workspace",),
        "the tokenizer": ("a tokenizer",),
        "the sampler": ("a sampler",),
        "the host": ("a host",),
        "the device": ("a device",),
        "the simulator": ("a simulator",),
        "the timeline": ("a timeline",),
        "the KV cache": ("a KV cache",),
        "the temperature": ("temperature",),
        "a logit": ("logits",),
    },
    "ja": {
        "アメリカ": ("アメリカ合衆国", "米国"),
        "イギリス": ("英国",),
        "アラブ首長国連邦": ("UAE",),
        "ジョージア": ("グルジア",),
        "チェコ": ("チェコ共和国",),
        "ギリシャ": ("ギリシア",),
        "キーウ": ("キエフ",),
        "マドリード": ("マドリッド",),
        "ワシントン": ("ワシントン D.C.",),
        "犬": ("イヌ", "いぬ"),
        "猫": ("ネコ", "ねこ"),
        "牛": ("ウシ",),
        "羊": ("ヒツジ",),
        "馬": ("ウマ",),
        "ゾウ": ("象", "ぞう"),
        "クマ": ("熊",),
        "ヘビ": ("へび", "蛇"),
        "ブタ": ("豚", "ぶた"),
        "サル": ("猿",),
        "バナナ": ("ばなな",),
        "リンゴ": ("りんご",),
        "イチゴ": ("いちご",),
        "ニンジン": ("にんじん",),
        "ブドウ": ("ぶどう",),
        "モモ": ("桃",),
        "人間": ("人", "ヒト"),
        "GPU メモリ": ("VRAM", "GPU のメモリ"),
        "作業用メモリ": ("ワークスペース",),
        "solver": ("ソルバー",),
        "層": ("レイヤー",),
        "同期": ("同期すること",),
        "かたい": ("硬い", "固い"),
        "やわらかい": ("柔らかい",),
        "むずかしい": ("難しい",),
        "良い": ("いい", "よい"),
        "うれしい": ("嬉しい",),
        "悲しい": ("かなしい",),
        "大きい": ("おおきい",),
        "小さい": ("ちいさい",),
        "月曜日": ("月曜",),
        "火曜日": ("火曜",),
        "水曜日": ("水曜",),
        "木曜日": ("木曜",),
        "金曜日": ("金曜",),
        "土曜日": ("土曜",),
        "日曜日": ("日曜",),
    },
}


def _fact(
    kind: str,
    en: dict[str, str],
    ja: dict[str, str],
    answers: tuple[str, str],
    keys: tuple[str, str],
) -> Fact:
    return Fact(
        kind,
        {"en": en, "ja": ja},
        {"en": capitalised(answers[0]), "ja": answers[1]},
        {"en": (keys[0],), "ja": (keys[1],)},
    )


def _countries() -> Iterator[Fact]:
    for row in _COUNTRIES.strip().splitlines():
        country, kuni, city, shuto, language = row.split("|")
        yield _fact(
            "capital",
            {"country": country},
            {"country": kuni},
            (f"The capital of {country} is {city}.", f"{kuni}の首都は{shuto}です。"),
            (city, shuto),
        )
        if not city.endswith(" City"):  # the city's name would already be the answer
            yield _fact(
                "country_of",
                {"city": city},
                {"city": shuto},
                (f"{city} is the capital of {country}.", f"{shuto}は{kuni}の首都です。"),
                (country, kuni),
            )
        if language != "-":
            kotoba = _LANGUAGES[language]
            yield _fact(
                "language",
                {"country": country},
                {"country": kuni},
                (f"People in {country} speak {language}.", f"{kuni}では{kotoba}を話します。"),
                (language, kotoba),
            )


def _things() -> Iterator[Fact]:
    for colour, things in _COLOURS.items():
        en, ja = colour.split("|")
        for thing, mono in (one.split("|") for one in things.split(", ")):
            yield _fact(
                "colour", {"thing": thing}, {"thing": mono}, (f"{thing} is {en}.", f"{mono}の色は{ja}です。"), (en, ja)
            )
    for row in _OPPOSITES.split(";"):
        a, a_ja, b, b_ja = row.strip().split("|")
        for one, ichi, other, ta in ((a, a_ja, b, b_ja), (b, b_ja, a, a_ja)):
            yield _fact(
                "opposite",
                {"word": one},
                {"word": ichi},
                (f"The opposite of {one} is {other}.", f"「{ichi}」の反対は「{ta}」です。"),
                (other, ta),
            )


def _orders() -> Iterator[Fact]:
    for kind, shift, en, ja in (("next_day", 1, "after", "次"), ("previous_day", -1, "before", "前")):
        for at, (day, youbi) in enumerate(_DAYS):
            other, ta = _DAYS[(at + shift) % 7]
            yield _fact(
                kind,
                {"day": day},
                {"day": youbi},
                (f"The day {en} {day} is {other}.", f"{youbi}の{ja}は{ta}です。"),
                (other, ta),
            )
    for kind, shift, en, ja in (("next_number", 1, "after", "次"), ("previous_number", -1, "before", "前")):
        for number in range(max(0, -shift), 101):
            slots = {"number": str(number)}
            yield _fact(
                kind,
                slots,
                slots,
                (f"The number {en} {number} is {number + shift}.", f"{number} の{ja}は {number + shift} です。"),
                (f"is {number + shift}", f"は {number + shift} です"),
            )


def _animals() -> Iterator[Fact]:
    for row in _SOUNDS.split(";"):
        animal, doubutsu, sound, koe = row.strip().split("|")
        yield _fact(
            "sound",
            {"animal": animal},
            {"animal": doubutsu},
            (f"{animal} goes {sound}.", f"{doubutsu}は{koe}と鳴きます。"),
            (sound, koe),
        )
    for legs, animals in _LEGS.items():
        for animal, doubutsu in (one.split("|") for one in animals.split(", ")):
            yield _fact(
                "legs",
                {"animal": animal},
                {"animal": doubutsu},
                (f"{animal} has {legs} legs.", f"{doubutsu}の足は {legs} 本です。"),
                (f"has {legs}", f"は {legs} 本"),
            )


def _arithmetic() -> Iterator[Fact]:
    for kind, sign, en, ja in (("sum", 1, "plus", "たす"), ("difference", -1, "minus", "ひく")):
        for a in range(21):
            for b in range(21 if sign > 0 else a + 1):
                slots = {"a": str(a), "b": str(b)}
                result = a + sign * b
                yield _fact(
                    kind,
                    slots,
                    slots,
                    (f"{a} {en} {b} is {result}.", f"{a} {ja} {b} は {result} です。"),
                    (str(result), str(result)),
                )


def _course() -> Iterator[Fact]:
    for row in _COURSE.strip().splitlines():
        term, does, key, yougo, suru, mono, kagi = row.split("|")
        after = " " if yougo.isascii() else ""
        yield _fact(
            "course_what",
            {"term": term},
            {"term": yougo},
            (f"{term} {does}.", f"{yougo}{after}は、{suru}{mono}です。"),
            (key, kagi),
        )
        name = term.removeprefix("the ").removeprefix("an ").removeprefix("a ")
        yield _fact(
            "course_who",
            {"description": does},
            {"description": suru},
            (f"That is {term}.", f"それは{after}{yougo}{after}です。"),
            (name, yougo),
        )
    for at, (en, key, ja, kagi) in enumerate(_STEPS, 1):
        slots = {"number": str(at)}
        yield _fact("step", slots, slots, (en, ja), (key, kagi))


def _talk() -> Iterator[Fact]:
    yield _fact(
        "greeting",
        {},
        {},
        ("Hello! What would you like to know?", "こんにちは。何を知りたいですか?"),
        ("Hello", "こんにちは"),
    )
    yield _fact(
        "self",
        {},
        {},
        (
            "I am a small language model, trained for this course. I only know a small world.",
            "わたしはこのコースのために学習した、小さな言語モデルです。小さな世界のことだけを知っています。",
        ),
        ("language model", "言語モデル"),
    )


FACTS: tuple[Fact, ...] = (
    *_countries(),
    *_things(),
    *_orders(),
    *_animals(),
    *_arithmetic(),
    *_course(),
    *_talk(),
)


def by_kind() -> dict[str, tuple[Fact, ...]]:
    """The facts of each kind, in the order in which the kinds first stand."""
    kinds: dict[str, list[Fact]] = {}
    for fact in FACTS:
        kinds.setdefault(fact.kind, []).append(fact)
    return {kind: tuple(facts) for kind, facts in kinds.items()}

"""FactoryError and its few kinds.

Every sentence that a learner can meet stands here once, in Japanese and English side by side. An error keeps its
fields as attributes (`error.asked`), and its text follows the language in force each time it is printed.
"""

from __future__ import annotations

from factory.language import Text


class FactoryError(Exception):
    """Base of all errors of the factory: a sentence from `sentences` by its key, and the sentence's fields."""

    sentences: dict[str, Text] = {}

    def __init__(self, key: str, **fields: object) -> None:
        super().__init__(key, fields)
        self.key = key
        self.fields = fields
        self.text = self.sentences[key].format(**fields)

    def __getattr__(self, name: str) -> object:
        fields = self.__dict__.get("fields", {})
        if name in fields:
            return fields[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __str__(self) -> str:
        return str(self.text)

    def __reduce__(self) -> tuple:
        return _rebuild, (type(self), self.key, self.fields)


def _rebuild(kind: type[FactoryError], key: str, fields: dict[str, object]) -> FactoryError:
    return kind(key, **fields)


class FactoryWarning(UserWarning):
    """Something that a learner should know, and that stops nothing; `text` says it."""

    def __init__(self, text: Text) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return str(self.text)


class OutOfDeviceMemory(FactoryError, MemoryError):
    """The device has no room left. Fields: asked, in_use, reserved (in use, as the pool rounds it up), total, name;
    on a GPU also free."""

    sentences = {
        "device": Text(
            "デバイスのメモリが足りません。{name} に {asked:,} バイト必要ですが、全体 {total:,} バイトのうち {in_use:,} "
            "バイトを使用中です(切り上げて {reserved:,} バイト)。使い終わった配列を .free() するか、もっと小さくしてください。",
            "Out of device memory: {name} needs {asked:,} bytes, but {in_use:,} of {total:,} bytes are in use "
            "({reserved:,} rounded up). Free arrays that are done with by .free(), or ask for less.",
        ),
        "others": Text(
            "デバイスのメモリが足りません。{name} に {asked:,} バイト必要ですが、空きは {free:,} バイトです。全体 {total:,} "
            "バイトのうち、ここで使用中なのは {in_use:,} バイト(切り上げて {reserved:,} バイト)で、残りは画面やほかの"
            "プログラムが使っています。ほかのプログラムを閉じるか、もっと小さくしてください。",
            "Out of device memory: {name} needs {asked:,} bytes, and {free:,} are free. Of {total:,} bytes {in_use:,} are "
            "in use here ({reserved:,} rounded up); the rest is the desktop's and other programs'. Close some of them, "
            "or ask for less.",
        ),
        "piece": Text(
            "デバイスのメモリが足りません。{name} に {asked:,} バイト必要です。空きは {free:,} バイトありますが、HIP は 1 回に"
            "これだけの大きさを渡しません。いくつかの配列に分けるか、もっと小さくしてください。",
            "Out of device memory: {name} needs {asked:,} bytes. {free:,} are free, but HIP does not give as much as that "
            "in one piece: make several arrays of it, or ask for less.",
        ),
        "host": Text(
            "このコンピューターのメモリが足りません。シミュレーターはデバイスのメモリをここに置きます。{name} に {asked:,} "
            "バイト必要ですが、空きは {free:,} バイトです(デバイスは全体 {total:,} バイト、使用中 {in_use:,} バイト)。",
            "This computer is out of memory, where the simulator keeps the device's: {name} needs {asked:,} bytes and "
            "{free:,} are free (the device: {in_use:,} of {total:,} bytes in use).",
        ),
    }


class DoubleFree(FactoryError):
    """Memory was given back twice. Fields: name, pointer, where (of the allocation)."""

    sentences = {
        "freed": Text(
            "{name} はもう解放済みです(アドレス {pointer:#x}、確保した場所: {where})。free は一度だけです。",
            "{name} was freed already (address {pointer:#x}, allocated at {where}): free it once.",
        )
    }


class UseAfterFree(FactoryError):
    """A freed array or pointer was used. Fields: name, pointer, where (of the allocation)."""

    sentences = {
        "freed": Text(
            "{name} は解放したあとなので使えません(アドレス {pointer:#x}、確保した場所: {where})。"
            "free する前に使うか、もう一度作ってください。",
            "{name} is used after it was freed (address {pointer:#x}, allocated at {where}): use it before free, or "
            "make it again.",
        ),
        "closed": Text(
            "このデバイスはもう閉じています。factory.open() で新しく開いてください。",
            "This device is closed: open a new one by factory.open().",
        ),
    }


class InvalidPointer(FactoryError):
    """An address that is not, or not wholly, in an allocation of this device."""

    sentences = {
        "foreign": Text(
            "{call}: アドレス {pointer:#x} はこのデバイスのメモリではありません。device.array() や device.hip.malloc() "
            "がくれたポインターを渡してください。",
            "{call}: the address {pointer:#x} is no memory of this device; pass a pointer that device.array() or "
            "device.hip.malloc() gave.",
        ),
        "range": Text(
            "{call}: {name} の範囲をはみ出します。{offset:,} バイト目から {nbytes:,} バイトは、{size:,} バイトの中に"
            "おさまりません。",
            "{call}: out of the range of {name}: {nbytes:,} bytes from byte {offset:,} do not fit its {size:,} bytes.",
        ),
        "interior": Text(
            "{call}: アドレス {pointer:#x} は {name} の途中です。free には確保したときの先頭アドレス {base:#x} を"
            "渡してください。",
            "{call}: the address {pointer:#x} is inside {name}; free takes the address that malloc gave, {base:#x}.",
        ),
        "pool": Text(
            "{call}: アドレス {pointer:#x} は配列 {name} のものです。配列は .free() で解放してください。",
            "{call}: the address {pointer:#x} belongs to the array {name}; free an array by its .free().",
        ),
        "device": Text(
            "{call}: {name} は別のデバイスの配列です。.numpy() で取り出し、このデバイスの device.array() に渡してください。",
            "{call}: {name} lives on another device; read it back by .numpy() and pass it to this device's "
            "device.array().",
        ),
        "not_array": Text(
            "{call}: デバイスの配列を渡してください(渡されたのは {got})。NumPy 配列は device.array() でデバイスに送れます。",
            "{call}: pass arrays of the device; this is {got}. device.array() copies a NumPy array to it.",
        ),
        "not_pointer": Text(
            "{call}: デバイスのポインターは整数です(渡されたのは {got})。device.hip.malloc() がくれたものか、配列の "
            ".pointer を渡してください。",
            "{call}: a device pointer is a whole number; this is {got}. Pass what device.hip.malloc() gave, or an "
            "array's .pointer.",
        ),
        "on_device": Text(
            "{name} はデバイスの上にあるので、NumPy は直接読めません。.numpy() でホストに取り出してください。",
            "{name} lives on the device, where NumPy cannot read it: copy it to the host by .numpy().",
        ),
        "stream": Text(
            "{call}: {got} はこのデバイスのストリームではないか、もう壊してあります。device.hip.stream_create() が"
            "くれたものを渡してください。",
            "{call}: {got} is no stream of this device, or was destroyed; pass one that device.hip.stream_create() "
            "gave.",
        ),
        "host": Text(
            "{call}: ホスト側には、連続した NumPy 配列{need}を渡してください(渡されたのは {got})。",
            "{call}: the host side must be a contiguous NumPy array{need}; this is {got}.",
        ),
    }


class ShapeError(FactoryError, ValueError):
    """Shapes, types or sizes that do not go together; the sentence names both."""

    sentences = {
        "gemm_inner": Text(
            "gemm: {a} と {b} はかけられません。左の列の数 {columns} と、右の行の数 {rows} を同じにしてください。",
            "gemm: {a} times {b} does not fit: the left has {columns} columns and the right {rows} rows; make them "
            "equal.",
        ),
        "gemm_dimensions": Text(
            "gemm: 行列は 2 次元か、まとめた 3 次元です(渡されたのは {a} と {b})。",
            "gemm: a matrix has 2 dimensions, or 3 in a batch; these are {a} and {b}.",
        ),
        "gemm_batch": Text(
            "gemm: まとめて計算する数が合いません({a} と {b})。同じ数か、1 にしてください。",
            "gemm: the batches of {a} and {b} differ; make them equal, or one of them 1.",
        ),
        "gemm_beta": Text(
            "gemm: beta が {beta} のときは、足し込む先を out= で渡してください。",
            "gemm: with beta {beta} pass the array to add to as out=.",
        ),
        "gemm_integer": Text(
            "gemm: int8 の行列では alpha と beta は整数です(渡されたのは {alpha} と {beta})。",
            "gemm: for int8 matrices alpha and beta are whole numbers; these are {alpha} and {beta}.",
        ),
        "layout": Text(
            "{call}: {name} の並び(形 {shape}、歩幅 {strides})は BLAS がそのまま読めません。device.copy({name}) で"
            "詰めてから渡してください。",
            "{call}: BLAS cannot read the layout of {name} as it is (shape {shape}, strides {strides}); pack it by "
            "device.copy({name}) first.",
        ),
        "packed": Text(
            "{call}: {name} はすき間のない並びが必要です(形 {shape}、歩幅 {strides})。device.copy({name}) で詰めて"
            "ください。",
            "{call}: {name} must be packed (shape {shape}, strides {strides}); pack it by device.copy({name}).",
        ),
        "alias": Text(
            "{call}: out が入力 {name} と同じメモリに重なっています。別の配列を out に渡してください。",
            "{call}: out overlaps the memory of the input {name}; pass another array as out.",
        ),
        "out": Text(
            "{call}: out は形 {want}・型 {dtype} でなければなりません(渡されたのは {got}・{got_dtype})。",
            "{call}: out must have shape {want} and dtype {dtype}; this has {got} and {got_dtype}.",
        ),
        "dtypes": Text(
            '{call}: 型が混ざっています({a} と {b})。どちらかを .astype("{a}") でそろえてから device.array() に'
            "渡してください。",
            '{call}: the dtypes {a} and {b} are mixed; convert one by .astype("{a}") before device.array().',
        ),
        "dtype": Text(
            '{call}: 型 {got} は使えません。.astype("{want}") で変換してください(使えるのは {known})。',
            '{call}: dtype {got} is not taken; convert by .astype("{want}") (taken are {known}).',
        ),
        "integers": Text(
            '{call}: 型 {got} は使えません。計算する数なら .astype("float32")、番号なら .astype("int32") で変換して'
            "ください(使えるのは {known})。",
            '{call}: dtype {got} is not taken; convert numbers to compute with by .astype("float32"), indices by '
            '.astype("int32") (taken are {known}).',
        ),
        "shape": Text(
            "{call}: {name} の形は {want} のはずですが、{got} です。",
            "{call}: {name} should have shape {want}, and has {got}.",
        ),
        "broadcast": Text(
            "{call}: {a} と {b} は合わせられません。各次元の大きさを同じにするか、2 つ目を 1 にしてください。",
            "{call}: {a} and {b} do not go together; make each dimension equal, or 1 in the second.",
        ),
        "size": Text(
            "{call}: 大きさは 1 以上の整数です({name} が {got} です)。",
            "{call}: sizes are whole numbers from 1 up; {name} is {got}.",
        ),
        "index": Text(
            "添字 {index} は形 {shape} の配列に使えません。整数か、前向きのスライスを {dimensions} 個まで、範囲の中で"
            "指定してください。",
            "The index {index} does not fit an array of shape {shape}: use whole numbers and forward slices, at most "
            "{dimensions}, in range.",
        ),
        "reshape": Text(
            "形 {shape}(全部で {have} 個)を {want} に並べ直せません。個数を同じにし、すき間があれば先に "
            "device.copy() で詰めてください。",
            "An array of shape {shape} ({have} elements) cannot be reshaped to {want}; keep the count, and pack a "
            "strided view by device.copy() first.",
        ),
        "axes": Text(
            "transpose: 軸 {axes} は形 {shape} の並べかえになっていません。0 から {last} までを一度ずつ書いてください。",
            "transpose: the axes {axes} are no order of the shape {shape}; name each from 0 to {last} once.",
        ),
        "convolution": Text(
            "畳み込み: 入力 {x} とフィルター {w} は合いません。フィルターの 2 番目の数は 入力チャンネル {c} ÷ グループ "
            "{groups} で、フィルターの枚数はグループの倍数です。",
            "Convolution: the input {x} and the filter {w} do not fit: the filter's second number is the input's "
            "channels {c} over groups {groups}, and its first a multiple of groups.",
        ),
        "window": Text(
            "{call}: 窓 {window} が入力 {x}(余白 {pad} 込み)より大きく、答えが 1 つも出ません。",
            "{call}: the window {window} is larger than the input {x} with its padding {pad}, so nothing comes out.",
        ),
        "overflow": Text(
            "{call}: 大きさ {got} は、ライブラリが数えられる 2,147,483,647 を超えます。",
            "{call}: the size {got} is over 2,147,483,647, the most that the library can count.",
        ),
        "ids": Text(
            "{call}: 番号は 0 から {last} までです({got} が入っています)。",
            "{call}: the indices run from 0 to {last}; this has {got}.",
        ),
        "number": Text(
            "{call}: {name} は {want}です(渡されたのは {got})。",
            "{call}: {name} must be {want}; this is {got}.",
        ),
    }


class Unsupported(FactoryError):
    """A request that is right, but that this device or version does not do."""

    sentences = {
        "direction": Text(
            '畳み込みの direction は今のところ "forward" だけです(渡されたのは {got})。',
            'A convolution\'s direction is "forward" for now; this is {got}.',
        ),
        "tensor_layout": Text(
            '畳み込みの layout は今のところ "NCHW" だけです(渡されたのは {got})。',
            'A convolution\'s layout is "NCHW" for now; this is {got}.',
        ),
        "mode": Text(
            "{call}: {got} というモードはありません。使えるのは {known} です。",
            "{call}: there is no mode {got}; there are {known}.",
        ),
        "gpu": Text(
            "{got} という GPU は知りません。知っているのは {known} です。",
            "There is no GPU {got} here; known are {known}.",
        ),
        "wing": Text(
            '{got} という装置はありません。"rocm" か "simulator" を選んでください。',
            'There is no device {got}; choose "rocm" or "simulator".',
        ),
        "simulator_only": Text(
            'gpu、memory、delay を指定できるのは factory.open("simulator") のときだけです。',
            'gpu, memory and delay can only be said to factory.open("simulator").',
        ),
        "no_solver": Text(
            "この畳み込みを計算できる solver が残っていません。外れた理由: {reasons}",
            "No solver is left that can do this convolution. Why each was dropped: {reasons}",
        ),
        "workspace": Text(
            "solver {solver} には作業用メモリが {need:,} バイト必要ですが、{got:,} バイトしかありません。",
            "The solver {solver} needs {need:,} bytes of workspace, and got {got:,}.",
        ),
        "solution": Text(
            "solver {solver} はこの畳み込みには使えません: {reason}",
            "The solver {solver} cannot do this convolution: {reason}",
        ),
    }


class ModelError(FactoryError):
    """A model, its file, or what was asked of it."""

    sentences = {
        "missing": Text(
            "{path} が見つかりません。ファイルかフォルダーの名前を確かめてください。",
            "{path} is not there; check the name of the file or folder.",
        ),
        "not_format": Text(
            "{path} は {format} ではありません({why})。",
            "{path} is no {format} ({why}).",
        ),
        "truncated": Text(
            "{path} は途中で切れているか、こわれています({why})。もう一度ダウンロードしてください。",
            "{path} is cut short or damaged ({why}); download it again.",
        ),
        "hostile": Text(
            "{path} は読みません。重みのほかに {what} を実行しようとしています。信頼できる元から取り直してください。",
            "{path} is refused: besides weights it wants to run {what}; get it again from a source you trust.",
        ),
        "architecture": Text(
            "{path} のモデルの種類は {got} です。読めるのは {known} だけです。",
            "The model in {path} is of the architecture {got}; only {known} is read.",
        ),
        "feature": Text(
            "{path} は {what} を使いますが、まだ計算できません。",
            "{path} uses {what}, which is not computed here.",
        ),
        "tensor": Text(
            "{path} の重み {name} は形 {want} のはずですが、{got} です。",
            "The weight {name} in {path} should have shape {want}, and is {got}.",
        ),
        "absent": Text(
            "{path} に重み {name} がありません。別のファイルか、こわれたファイルです。",
            "{path} has no weight {name}; it is another file, or a damaged one.",
        ),
        "outside": Text(
            "{path} の {name} は、ファイルにあるデータの範囲をはみ出しています。信頼できる元から取り直してください。",
            "{name} in {path} reaches outside the data that the file holds; get it again from a source you trust.",
        ),
        "bad_template": Text(
            "{path} の会話の型(chat template)でプロンプトを作れませんでした({why})。",
            "The chat template of {path} made no prompt ({why}).",
        ),
        "not_finite": Text(
            "{what} に数でない値(NaN か無限大)があります。",
            "{what} holds values that are no numbers (NaN or infinity).",
        ),
        "install": Text(
            "{model} がまだありません。次のコマンドで入れてください: {command}",
            "{model} is not here yet; install it by: {command}",
        ),
        "unknown": Text(
            "{got} というモデルはありません。{known}、.gguf ファイル、または Hugging Face のフォルダーか名前を"
            "渡してください。",
            "There is no model {got}; pass {known}, a .gguf file, or a Hugging Face folder or name.",
        ),
        "download": Text(
            "{name} をダウンロードできませんでした({why})。ネットワークと名前を確かめてください。",
            "{name} could not be downloaded ({why}); check the network and the name.",
        ),
        "empty_prompt": Text(
            "質問が空です。何か書いてください。",
            "The question is empty; write something.",
        ),
        "too_long": Text(
            "文章が長すぎます。{got} トークンですが、このモデルが一度に読めるのは {limit} トークンまでです。短くして"
            "ください。",
            "The text is too long: {got} tokens, and this model reads {limit} at once; make it shorter.",
        ),
        "layers": Text(
            "層の数は 1 から {last} までです(渡されたのは {got})。",
            "The number of layers runs from 1 to {last}; this is {got}.",
        ),
        "template": Text(
            "{path} には会話の型(chat template)がないので answer() は使えません。generate() を使ってください。",
            "{path} has no chat template, so answer() does not work; use generate().",
        ),
        "image": Text(
            "{got} は画像として読めません({why})。",
            "{got} cannot be read as a picture ({why}).",
        ),
        "drawing": Text(
            "手書きの絵は、uint8 か float の NumPy 配列(高さ、幅)で渡してください(渡されたのは {got})。",
            "Pass a drawing as a NumPy array (height, width) of uint8 or float; this is {got}.",
        ),
        "alphabet": Text(
            "{got} という文字の種類はありません。{known} のどれかを選んでください。",
            "There is no alphabet {got}; choose one of {known}.",
        ),
        "character": Text(
            "{got} は描けません。描けるのは、半角の数字 0 から 9 と、ひらがなの「あ」から「ん」(濁点や小さい字はなし)の "
            "1 文字です。",
            "{got} cannot be drawn; pass one character: a digit from 0 to 9, or a basic hiragana, "
            "without voicing marks, and no small one.",
        ),
        "dark_ink": Text(
            "絵のふちが明るすぎます。黒い地に明るい線で描いた絵が必要です。白い紙に黒い線なら、255 - image を渡してください。",
            "The picture is bright at its edge, but a drawing is bright ink on a black ground; for black ink on white "
            "paper pass 255 - image.",
        ),
    }


class LibraryError(FactoryError):
    """A GPU library returned an error. Fields: call, code, meaning (the code in words), gpu."""

    sentences = {
        "status": Text(
            "{call} がエラー {code}({meaning})を返しました(GPU: {gpu})。",
            "{call} returned error {code} ({meaning}) on {gpu}.",
        ),
        "not_ready": Text(
            "{call} がエラー {code}({meaning})を返しました(GPU: {gpu})。{name} はまだ記録されていないか、終わっていません。"
            "先に event_record と同期をしてください。",
            "{call} returned error {code} ({meaning}) on {gpu}: {name} was not recorded, or has not finished; record "
            "it and synchronise first.",
        ),
        "absent": Text(
            '{library} を読み込めませんでした({why})。ROCm が入っているか確かめてください。factory.open("simulator") なら、'
            "GPU がなくても同じ仕事ができます。",
            '{library} could not be loaded ({why}). Check that ROCm is installed; factory.open("simulator") does the '
            "same work without a GPU.",
        ),
        "bindings": Text(
            "AMD GPU を使うには hip-python の {oldest} 以降が必要です({found})。pip install 'hip-python>={oldest}' で"
            "入ります。",
            "An AMD GPU needs hip-python {oldest} or newer ({found}); install it by pip install 'hip-python>={oldest}'.",
        ),
        "two_runtimes": Text(
            "HIP ランタイムが 2 つ読み込まれています({paths})。片方のアドレスはもう片方では使えないので、ここで止めます。"
            "ROCM_PATH を 1 つの ROCm に合わせ、ほかの ROCm を連れてくるもの(ROCm 版の torch など)なしで始め直して"
            "ください。",
            "Two HIP runtimes are loaded ({paths}), and an address of one means nothing to the other, so this stops "
            "here. Point ROCM_PATH at one ROCm, and start again without what brings a second (such as torch for ROCm).",
        ),
        "no_gpu": Text(
            "{index} 番の AMD GPU はありません(見つかったのは {count} 個、番号は 0 から)。",
            "There is no AMD GPU number {index} ({count} found; the numbers start at 0).",
        ),
        "arch": Text(
            "GPU の名前 {gpu} が正しい形ではないので、{call} には渡しません(正しい例: gfx900)。",
            "The GPU calls itself {gpu}, which is no name that {call} may be given (gfx900 would be one).",
        ),
        "compile": Text(
            "{call} が {gpu} 用のカーネルをコンパイルできませんでした(エラー {code}、{meaning}):\n{log}",
            "{call} could not compile the kernels for {gpu} (error {code}, {meaning}):\n{log}",
        ),
        "timeout": Text(
            "{call} を {seconds:g} 秒待ちましたが、終わりません(GPU: {gpu}、最後に渡した仕事: {last})。もっと待つなら "
            "device.hip.patience を大きくします。それでも終わらなければ、カーネルを再起動してください。",
            "{call} waited {seconds:g} seconds and gave up (GPU: {gpu}, last handed over: {last}). To wait longer, raise "
            "device.hip.patience; if it never ends, restart the kernel.",
        ),
        "died": Text(
            "別のプロセスで試したところ、{call} でそのプロセスが止まりました({meaning}、GPU: {gpu})。この GPU 用の"
            "カーネルが、入っている ROCm にないときに起こります。",
            "{call}, tried in a process of its own, brought that process down ({meaning}) on {gpu}. This happens where "
            "the ROCm installed here has no kernels for the GPU.",
        ),
        "wrong": Text(
            "試しに計算したところ、{call} の答えが違っていました(GPU: {gpu}、正しい値 {want}、出た値 {got})。",
            "{call} gave a wrong result in a trial on {gpu}: {got} instead of {want}.",
        ),
    }

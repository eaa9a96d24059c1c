"""Words: every string of the pages, in English and Chinese."""

LANGUAGES = ("en", "zh")
NAMES = {"en": "English", "zh": "中文"}

# key → English, Chinese; {} are filled in. Keys that begin with `js.` are told to the scripts.
WORDS: dict[str, tuple[str, str]] = {
    "skip": ("Skip to the content", "跳到正文"),
    "nav": ("Pages", "页面"),
    "nav.home": ("Catalog", "目录"),
    "nav.map": ("Map", "地图"),
    "nav.report": ("Report", "评估"),
    "nav.add": ("Add item", "添加物品"),
    "theme": ("Dark or light", "深色或浅色"),
    "language": ("Language", "语言"),
    "key": ("API key", "API 密钥"),
    "key.title": ("API key for writing", "写入用的 API 密钥"),
    "key.about": (
        "Feedback and new items need an API key with the scope write. It stays in this tab and is sent with your "
        "requests only.",
        "反馈和添加物品需要带 write 权限的 API 密钥。密钥只保存在当前标签页，只随你的请求发送。",
    ),
    "key.make": ("Make one with", "用此命令生成"),
    "key.use": ("Use this key", "使用此密钥"),
    "key.forget": ("Forget it", "清除"),
    "key.close": ("Close", "关闭"),
    "sign.title": ("Sign in", "登录"),
    "sign.about": (
        "Reading needs an API key with the scope read here. It is kept in a cookie until you close the browser or sign "
        "out; scripts and other sites cannot use it, and nothing is written with it.",
        "此处的读取需要带 read 权限的 API 密钥。密钥保存在 Cookie 中，直到关闭浏览器或退出登录；"
        "脚本和其他网站无法使用它，也不会用它写入。",
    ),
    "sign.go": ("Sign in", "登录"),
    "sign.out": ("Sign out", "退出登录"),
    "sign.wrong": ("This key is not known.", "密钥无效。"),
    "sign.often": ("Too many attempts; wait a moment.", "尝试次数过多，请稍候。"),
    "sign.not": (
        "This key does not open pages: it needs the scope read, and the form has to be sent from this page.",
        "该密钥不能打开页面：需要 read 权限，且必须从本页提交。",
    ),
    "making.groups": (
        "The groups of items are being computed, once after training; they appear here when they are there.",
        "正在计算物品分组（每次训练后只需一次），完成后会显示在这里。",
    ),
    "making.map": (
        "The places of the items are being computed, once after training; the map appears when they are there.",
        "正在计算物品的位置（每次训练后只需一次），完成后地图会显示出来。",
    ),
    "footer": ("Served by fuserec {version}.", "由 fuserec {version} 提供。"),
    "twin": ("The same as JSON:", "JSON 格式："),
    "error.title": ("That did not work", "未能完成"),
    "error.home": ("Back to the catalog", "返回目录"),
    "home.title": ("The catalog at a glance", "目录概览"),
    "home.items": ("items", "个物品"),
    "home.users": ("users", "位用户"),
    "home.interactions": ("interactions", "次交互"),
    "home.added": ("{n} added online", "在线添加 {n} 个"),
    "home.coverage": ("Media", "媒体覆盖"),
    "home.coverage.of": ("{n} of {all} items", "{all} 个物品中有 {n} 个"),
    "home.model": ("Model", "模型"),
    "home.folds": (
        "New events change the next recommendation.",
        "新事件会立即改变下一次推荐。",
    ),
    "home.folds.not": (
        "Users are known by training: new events only take items out of the lists.",
        "用户偏好来自训练：新事件只会把物品从列表中去掉。",
    ),
    "home.takes": ("New items are recommended at once.", "新物品会立即参与推荐。"),
    "home.takes.not": ("New items need training.", "新物品需要重新训练。"),
    "home.quality": ("Measured quality", "实测质量"),
    "home.quality.none": (
        "Nobody has measured this model here. To show it, run:",
        "尚未在此记录模型的评估结果。运行以下命令后即可显示：",
    ),
    "home.quality.other": (
        "The report kept here does not hold this model with these options.",
        "此处保存的评估不包含该模型的这组选项。",
    ),
    "home.quality.n": ("{n} test users, {split} split, 95 % interval", "{n} 位测试用户，{split} 划分，95 % 区间"),
    "home.quality.floor": ("Popularity", "流行度基线"),
    "home.options": ("Options", "选项"),
    "home.popular": ("Chosen most", "最受欢迎"),
    "home.people": ("Users with the longest history", "历史最长的用户"),
    "home.user": ("Open a user by id", "按编号打开用户"),
    "home.open": ("Open", "打开"),
    "search.label": ("Search by words, a picture, a sound or a video", "用文字、图片、声音或视频搜索"),
    "search.placeholder": ("a silver lantern in the snow", "雪中的银色灯笼"),
    "search.file": ("Picture, sound or video", "图片、声音或视频"),
    "search.go": ("Search", "搜索"),
    "search.by": ("Look at", "查看"),
    "search.all": ("all columns", "所有列"),
    "search.title": ("Found", "搜索结果"),
    "search.title.for": ("Found for “{text}”", "“{text}”的搜索结果"),
    "search.title.file": ("Found for your {kind}", "与你上传的{kind}相符的结果"),
    "search.none": ("Nothing was found.", "没有找到结果。"),
    "search.empty": ("Write some words or choose a file.", "请输入文字或选择文件。"),
    "kind.image": ("picture", "图片"),
    "kind.audio": ("sound", "声音"),
    "kind.video": ("video", "视频"),
    "kind.text": ("text", "文本"),
    "kind.vector": ("vectors", "向量"),
    "kind.word": ("word", "词语"),
    "kind.topic": ("topic", "主题"),
    "kind.look": ("look", "外观"),
    "kind.sound": ("sound", "声音"),
    "kind.kind": ("kind", "类别"),
    "kind.interest": ("interest", "兴趣"),
    "item.added": ("added online", "在线添加"),
    "item.similar": ("Similar items", "相似物品"),
    "item.similar.by": ("by {name}", "按 {name}"),
    "item.similar.model": ("as the model sees it", "按模型"),
    "item.groups": ("Groups that it is in", "所属分组"),
    "item.groups.n": ("{n} items", "{n} 个物品"),
    "item.words": ("Words it shares", "共有词语"),
    "item.liked": ("Chosen by", "选择过它的用户"),
    "item.liked.n": ("{n} users in training", "训练数据中 {n} 位用户"),
    "item.liked.none": ("Nobody had chosen it when the model was trained.", "训练时还没有人选择过它。"),
    "item.none": ("This item has no text or media.", "该物品没有文本或媒体。"),
    "picture.of": ("picture of {title}", "{title} 的图片"),
    "user.title": ("User {user}", "用户 {user}"),
    "user.new": (
        "Nobody knows this user yet: what is popular is shown.",
        "尚无该用户的记录：显示热门物品。",
    ),
    "user.history": ("History", "历史"),
    "user.history.n": ("{n} items, the latest first", "{n} 个物品，最近的在前"),
    "user.interests": ("Interests", "兴趣"),
    "user.interests.none": (
        "Nothing stands out: the history is too short, or like the catalog.",
        "没有突出的兴趣：历史太短，或与目录整体一致。",
    ),
    "user.interests.share": (
        "{share} of the history, {base} of the catalog",
        "占历史的 {share}，占目录的 {base}",
    ),
    "user.because": ("because of", "依据"),
    "user.typical": ("typical of it", "典型物品"),
    "user.recommended": ("Recommended", "推荐"),
    "user.basis.history": ("from the history up to now", "依据至今的历史"),
    "user.basis.training": ("from what was known in training", "依据训练时的数据"),
    "user.basis.popularity": ("by popularity", "按流行度"),
    "user.diversity": ("Diversity", "多样性"),
    "user.diversity.low": ("best match", "最匹配"),
    "user.diversity.high": ("most varied", "最多样"),
    "user.like": ("Like", "喜欢"),
    "user.hide": ("Hide", "隐藏"),
    "user.like.what": ("Like {title}", "喜欢 {title}"),
    "user.hide.what": ("Hide {title}", "隐藏 {title}"),
    "user.undo": ("Undo", "撤销"),
    "user.undo.what": ("Undo for {title}", "撤销对 {title} 的操作"),
    "user.none": ("Nothing is left to recommend.", "没有可推荐的物品了。"),
    "user.why": ("What spoke for it", "推荐理由"),
    "why.community": ("community", "社区"),
    "why.popularity": ("popularity", "流行度"),
    "why.other": ("other", "其他"),
    "event.like": ("liked", "喜欢"),
    "event.hide": ("hidden", "已隐藏"),
    "event.dislike": ("disliked", "不喜欢"),
    "map.title": ("Map of the catalog", "目录地图"),
    "map.about": (
        "Every dot is an item; items that are alike lie near each other.",
        "每个点是一个物品；相似的物品彼此靠近。",
    ),
    "map.keys": (
        "Drag to move, wheel or + and − to zoom, arrows to pan, 0 to see all. With N and P you go from item to item, "
        "with Enter you open it.",
        "拖动以移动，用滚轮或 + 和 − 缩放，方向键平移，0 显示全部。按 N 和 P 逐个浏览物品，按 Enter 打开。",
    ),
    "map.canvas": ("Map of all items", "所有物品的地图"),
    "map.in": ("Zoom in", "放大"),
    "map.out": ("Zoom out", "缩小"),
    "map.all": ("See all", "显示全部"),
    "map.clusters": ("Clusters", "聚类"),
    "js.cluster": ("cluster {n}", "聚类 {n}"),
    "report.title": ("Evaluation report", "评估报告"),
    "report.none": (
        "No evaluation is kept in the model folder. Make one with:",
        "模型文件夹中没有评估结果。用此命令生成：",
    ),
    "report.models": ("Models", "模型"),
    "report.model": ("model", "模型"),
    "report.cold": ("on new items", "新物品上"),
    "report.chosen": ("chosen on validation", "由验证集选出"),
    "report.serves": ("serves here", "正在服务"),
    "report.compare": ("{label}, user by user", "{label}，逐用户比较"),
    "report.against": ("against", "对比"),
    "report.gained": ("gained", "提升"),
    "report.interval": ("95 % interval", "95 % 区间"),
    "report.p": ("p (Holm)", "p（Holm 校正）"),
    "report.verdict": ("so it is", "结论"),
    "report.better": ("better", "更好"),
    "report.worse": ("worse", "更差"),
    "report.unclear": ("cannot be told", "无法区分"),
    "report.columns": ("What columns are worth", "各列的价值"),
    "report.columns.about": (
        "How much of {metric} {label} loses without the column.",
        "去掉该列后 {label} 的 {metric} 下降多少。",
    ),
    "add.title": ("Add an item", "添加物品"),
    "add.about": (
        "The model's encoders embed it; it is recommended and found at once, without training.",
        "由模型的编码器生成向量；无需训练，立即可被推荐和搜索。",
    ),
    "add.not": (
        "{model} knows items only by who chose them; new ones need training.",
        "{model} 只通过用户行为了解物品；新物品需要重新训练。",
    ),
    "add.id": ("Item id", "物品编号"),
    "add.vectors": ("{name}: {dim} numbers, separated by commas", "{name}：{dim} 个数字，用逗号分隔"),
    "add.go": ("Add item", "添加"),
    "add.script": (
        "Writing needs JavaScript: the key is sent as a header.",
        "写入需要 JavaScript：密钥通过请求头发送。",
    ),
    "js.key.needed": ("Give an API key first.", "请先填写 API 密钥。"),
    "js.saving": ("Saving…", "正在保存…"),
    "js.liked": ("Liked. The list is new.", "已喜欢，列表已更新。"),
    "js.hidden": ("Hidden. The list is new.", "已隐藏，列表已更新。"),
    "js.undone": ("Taken back. The list is new.", "已撤销，列表已更新。"),
    "js.failed": ("The server does not answer.", "服务器没有响应。"),
    "js.loading": ("Placing the items…", "正在布局物品…"),
    "js.key.kept": ("The key is kept in this tab.", "密钥已保存在当前标签页。"),
    "js.key.gone": ("The key is forgotten.", "密钥已清除。"),
}


def words_of(language: str) -> dict[str, str]:
    """`en` or `zh` → key → string."""
    place = LANGUAGES.index(language)
    return {key: both[place] for key, both in WORDS.items()}


def preferred(accepted: str) -> str:
    """An Accept-Language header (RFC 9110, 12.5.4) → the language of ours that it likes most, else English."""
    best, quality = LANGUAGES[0], 0.0
    for part in accepted.split(",")[:20]:
        name, _, weight = part.strip().partition(";")
        language = name.strip().lower().split("-")[0]
        try:
            found = float(weight.strip().removeprefix("q=")) if weight else 1.0
        except ValueError:
            continue
        if language in LANGUAGES and found > quality:
            best, quality = language, found
    return best
